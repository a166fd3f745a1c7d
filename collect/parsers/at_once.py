"""What several deployments of a trial measured at once, as one measurement."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from collect.measurement import AtOnce, Measurement, Phase
from core.errors import HerdError


def measured_at_once(found: Sequence[Measurement], ended_s: Sequence[float]) -> Measurement:
    """Return one measurement of several deployments that ran at the same time.

    The speed of one user is the median of the deployments. Tokens of all are divided by the window
    from the moment at which the first began to generate until the last ended. A deployment began
    its decode time before its main process ended.

    Args:
        found: what each measured.
        ended_s: when the main process of each ended, seconds by one clock.

    Raises:
        HerdError: one did not report how fast it generated.
    """
    decodes = [one.decode for one in found]
    if not decodes or any(decode is None for decode in decodes):
        raise HerdError("A deployment of the trial did not report how fast it generated.")
    whole = [decode for decode in decodes if decode is not None]
    begun_s = [end - one.total_ms / 1000 for end, one in zip(ended_s, whole, strict=True)]
    window_s = max(ended_s) - min(begun_s)
    return Measurement(
        samples=sum(one.samples for one in found),
        prefill=_median(found, lambda one: one.prefill),
        decode=_median(found, lambda one: one.decode),
        required_memory_mib=max(one.required_memory_mib or 0.0 for one in found) or None,
        flags=tuple(dict.fromkeys(flag for one in found for flag in one.flags)),
        at_once=AtOnce(
            deployments=len(found),
            tokens=sum(one.tokens for one in whole),
            window_s=window_s,
            overlap=max(0.0, min(ended_s) - max(begun_s)) / window_s,
            slowest_tokens_per_s=min(one.tokens_per_s for one in whole),
            sum_tokens_per_s=sum(one.tokens_per_s for one in whole),
        ),
    )


def _median(
    found: Sequence[Measurement], phase: Callable[[Measurement], Phase | None]
) -> Phase | None:
    """Return a phase with the median speed of all; None if one did not report it."""
    phases = [one for one in map(phase, found) if one is not None]
    if len(phases) < len(found):
        return None
    tokens = round(statistics.median(one.tokens for one in phases))
    speed = statistics.median(one.tokens_per_s for one in phases)
    return Phase.of(tokens, 1000.0 * tokens / speed)
