"""Plugs that are read once a second during a session, each by its own thread of the controller.

A trial only marks two moments. It waits for no plug: what was read between them is what counts.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from collect.plugs import MOST_READINGS, PlugEnergy, PowerReading
from core.foreign import one_line
from experiments.fleet.cluster import Plug
from experiments.plugs.energy import Sample, used_between
from experiments.plugs.http import DEADLINE_S, PlugError
from experiments.plugs.kinds import PlugReader, PlugReading

EVERY_S = 1.0
LASTING_S = 30.0
"""Between two questions to a plug that refuses."""
IDLE_READINGS = 10
"""That make the idle power; nodes do nothing meanwhile."""
MOST_SAMPLES = 50_000
"""That are kept of a plug: more than 13 hours."""


class _Watched:
    """One plug and what it said."""

    def __init__(self, plug: Plug, read: Callable[[], PlugReading]) -> None:
        self.plug = plug
        self.idle_w: float | None = None
        self._read = read
        self._lock = threading.Lock()
        self._samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, name=f"plug {plug.name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def since(self, moment_s: float) -> list[Sample]:
        """Return what was read from a moment on, and the last reading before it, in their order."""
        found: list[Sample] = []
        with self._lock:
            for sample in reversed(self._samples):
                found.append(sample)
                if sample.at_s < moment_s:
                    break
        return found[::-1]

    def _ask(self) -> None:
        wait_s = 0.0
        while not self._ended.wait(wait_s):
            begun_s, every_s = time.monotonic(), EVERY_S
            reading, reason = None, ""
            try:
                reading = self._read()
            except PlugError as error:
                reason = str(error)
                every_s = LASTING_S if error.is_lasting else EVERY_S
            except Exception as error:  # noqa: BLE001 - what a plug says may raise anything
                reason = f"its answer could not be read ({type(error).__name__})"
            ended_s = time.monotonic()
            within_s = (ended_s - begun_s) / 2
            self._keep(Sample(begun_s + within_s, reading, reason, within_s))
            wait_s = max(0.0, begun_s + every_s - ended_s)

    def _keep(self, sample: Sample) -> None:
        with self._lock:
            self._samples.append(sample)


class PlugWatch:
    """The plugs of a session, from its begin to `close`.

    Args:
        plugs: of the inventory; with none, nothing is done.
    """

    def __init__(
        self,
        plugs: Iterable[Plug] = (),
        reader: Callable[[Plug], Callable[[], PlugReading]] = lambda plug: PlugReader(plug).read,
    ) -> None:
        self._watched = [_Watched(plug, reader(plug)) for plug in plugs]

    def close(self) -> None:
        """Stop reading."""
        for watched in self._watched:
            watched.close()
        until_s = time.monotonic() + DEADLINE_S
        for watched in self._watched:
            watched.join(max(0.0, until_s - time.monotonic()))

    @property
    def are_there(self) -> bool:
        """Whether the inventory has plugs."""
        return bool(self._watched)

    def read_idle(self, absent: Collection[str] = ()) -> Iterator[str]:
        """Read the power of nodes that do nothing yet; yield a line about each plug.

        It takes a second for each reading, and no longer if plugs do not answer.

        Args:
            absent: names of nodes that are off, or at work for another, and may take part later:
                what their plugs measure now is no idle power.
        """
        seconds = (IDLE_READINGS - 0.5) * EVERY_S
        yield f"Reading what smart plugs measure while the nodes are idle ({seconds:.0f} s)."
        begun_s = time.monotonic()
        time.sleep(seconds)
        for watched in self._watched:
            if away := [name for name in watched.plug.nodes if name in absent]:
                yield f"{watched.plug.name}: not idle power, because {', '.join(away)} is away"
                continue
            samples = watched.since(begun_s)
            known = [one.reading.watts for one in samples if one.reading is not None]
            if known:
                watched.idle_w = statistics.median(known)
                yield f"{watched.plug.name}: {watched.idle_w:.1f} W idle"
            else:
                reasons = [one.reason for one in samples if one.reason] or ["it did not answer"]
                yield f"{watched.plug.name}: {reasons[-1]}; trials are measured without it"

    def between(
        self, begun_s: float, ended_s: float, nodes: Collection[str]
    ) -> tuple[dict[str, PlugEnergy], list[PowerReading]]:
        """Return what the plugs of these nodes counted in a window, and that of the switch.

        Args:
            begun_s: of the window, by the monotonic clock.
            ended_s: of the window; not later than now.
            nodes: names of the nodes of the trial's cell.
        """
        found: dict[str, PlugEnergy] = {}
        readings: list[PowerReading] = []
        is_fed = any(set(nodes) & set(watched.plug.nodes) for watched in self._watched)
        for watched in self._watched if is_fed else ():
            plug = watched.plug
            if set(plug.nodes) & set(nodes) or not plug.nodes:
                samples = [one for one in watched.since(begun_s) if one.at_s <= ended_s]
                found[plug.name] = _energy(watched, samples, begun_s, ended_s)
                readings += _readings(plug.name, samples, begun_s)
        return found, readings


def _energy(
    watched: _Watched, samples: Sequence[Sample], begun_s: float, ended_s: float
) -> PlugEnergy:
    plug = watched.plug
    known = PlugEnergy(
        nodes=plug.nodes,
        feeds_switch=plug.feeds_switch,
        window_s=ended_s - begun_s,
        idle_w=watched.idle_w,
    )
    try:
        used = used_between(samples, begun_s, ended_s)
    except PlugError as error:
        return _without(known, str(error))
    except Exception as error:  # noqa: BLE001 - a trial is not lost for the sake of its joules
        return _without(known, f"its readings could not be added up ({type(error).__name__})")
    return known.model_copy(
        update={
            "joules": used.joules,
            "error_j": used.error_j,
            "by": used.by,
            "readings": used.readings,
        }
    )


def _without(known: PlugEnergy, reason: str) -> PlugEnergy:
    """Return the same without joules, and why."""
    return known.model_copy(update={"reason": one_line(reason, 300)})


def _readings(name: str, samples: Sequence[Sample], begun_s: float) -> list[PowerReading]:
    """Return what was read in the window, and the last reading before it."""
    told = [
        PowerReading(name, one.at_s - begun_s, one.reading.watts, one.reading.counter_j)
        for one in samples
        if one.reading is not None
    ]
    return told[:: 1 + len(told) // MOST_READINGS]
