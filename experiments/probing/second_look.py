"""Which links look slow enough to be measured again, and which of two figures counts."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from collect.probe import LinkProbe

ALIKE = 0.2
"""A node or a link is called slow if it differs from the median by more than this share."""
LOOKS = (8, 4, 4)
"""How many of the slowest links are measured again, and then once more, as long as they look slow.
On equal links whose figures vary by 10 %, one look leaves a false word in every fifth probe, three
leave one in a hundred."""


def suspects(links: Sequence[LinkProbe], most: int) -> list[tuple[str, str]]:
    """Links that look slow or distant, each as the pair that connected, the slowest first.

    Args:
        links: both directions of each; the first of the two is that of the node that connected.
        most: so many at most.
    """
    if not links:
        return []
    rate = statistics.median(link.rate_mbit for link in links)
    latency = statistics.median(link.latency_us for link in links)
    worst: dict[frozenset[str], float] = {}
    names: dict[frozenset[str], tuple[str, str]] = {}
    for link in links:
        both = frozenset((link.source, link.target))
        names.setdefault(both, (link.source, link.target))
        times = max(rate / link.rate_mbit * (1 - ALIKE), link.latency_us / latency / (1 + ALIKE))
        worst[both] = max(worst.get(both, 0.0), times)
    slow = sorted((both for both in worst if worst[both] > 1), key=lambda one: -worst[one])
    return [names[both] for both in slow[:most]]


def with_better(links: Iterable[LinkProbe], again: Iterable[LinkProbe]) -> list[LinkProbe]:
    """The links, with what was better this time: other work makes a link slow, never fast."""
    seconds = {(link.source, link.target): link for link in again}
    return [_better(link, seconds.get((link.source, link.target), link)) for link in links]


def _better(first: LinkProbe, second: LinkProbe) -> LinkProbe:
    fast = max(first, second, key=lambda link: link.rate_mbit)
    near = min(first, second, key=lambda link: link.latency_us)
    rate = {"rate_mbit": fast.rate_mbit, "transferred_bytes": fast.transferred_bytes}
    return near.model_copy(update=rate)
