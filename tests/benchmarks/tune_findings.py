"""How often `fab tune` picks the best setting, and how often it claims a gain that is not there.

    python -m tests.benchmarks.tune_findings [--runs 400]

Speeds of known truth go through the halving, the ranking and the judgement that a real search goes
through. docs/tune.md has the table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.settings.judgement import judge
from collect.search import Arm, Confirmation, TriedSetting, TuningResult
from experiments.planning.plan import order_trials
from experiments.tune.budget import usual_trials
from experiments.tune.halving import Outcome, SearchBudget, halve
from experiments.tune.settings import PAIR

PAIRS = 10
ATTEMPTS = 3
CRASH = "it crashed"
NEAR = 0.03
"""A setting that is slower than the best by less than this is as good."""


@dataclass(frozen=True, slots=True)
class World:
    """Settings of known speed, measured one trial after the other.

    Attributes:
        speeds: of each setting; the first is the default.
        noise: standard deviation of a trial, as a share.
        drift: the same of what the machine does from trial to trial (autocorrelation 0.9).
        crashes: setting to the share of its trials that crash.
        is_bursty: one trial of ten is slowed down by half or more.
        leaves: setting to the share by which it slows down the trial after it (heat, a cache).
        lasts: the share of that which is left a trial later.
    """

    speeds: Sequence[float]
    noise: float
    drift: float = 0.0
    crashes: Mapping[int, float] = field(default_factory=dict)
    is_bursty: bool = False
    leaves: Mapping[int, float] = field(default_factory=dict)
    lasts: float = 0.0


@dataclass(slots=True)
class Counts:
    """Shares of so many searches.

    Attributes:
        best: it ended with the best setting, or one that is slower by less than 3 %.
        claimed: a gain was claimed.
        false: a gain of a setting that is not faster than the default.
        slower: the same of one that is slower.
        frail: a setting was recommended that crashes in some of its trials.
        trials: of the search, on the average.
    """

    best: float = 0.0
    claimed: float = 0.0
    false: float = 0.0
    slower: float = 0.0
    frail: float = 0.0
    trials: float = 0.0


class Machine:
    """Measures the settings of a world."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self._world, self._rng = world, rng
        self._state = self._left = 0.0
        self.trials = 0

    def trial(self, setting: int) -> tuple[float | None, int]:
        """A speed, or None where every attempt crashed; and how many attempts did."""
        for attempt in range(ATTEMPTS):
            if self._rng.random() >= self._world.crashes.get(setting, 0.0):
                return self._speed(setting), attempt
        return None, ATTEMPTS

    def _speed(self, setting: int) -> float:
        world, rng = self._world, self._rng
        self._state = 0.9 * self._state + world.drift * rng.normal()
        slow = 1.5 + rng.pareto(1.5) if world.is_bursty and rng.random() < 0.1 else 1.0
        log = world.noise * rng.normal() + self._state
        slow /= 1 - self._left
        self._left = world.lasts * self._left + world.leaves.get(setting, 0.0)
        self.trials += 1
        return float(world.speeds[setting] * np.exp(log) / slow)

    def rung(self, number: int, settings: tuple[int, ...], trials: int) -> Outcome:
        """A rung, block by block."""
        speeds: dict[int, dict[tuple[int, int], float]] = {setting: {} for setting in settings}
        crashes = dict.fromkeys(settings, 0)
        failed = {}
        for block, setting in self._order(settings, trials):
            speed, crashed = self.trial(setting)
            crashes[setting] += crashed
            if speed is None:
                failed[setting] = CRASH
            else:
                speeds[setting][number, block] = speed
        causes = {setting: CRASH for setting, count in crashes.items() if count}
        return Outcome(f"rung-{number}", speeds, crashes, failed, causes)

    def pairs(self, best: int) -> Confirmation:
        """The best setting and the default, in turn; each is warmed up before its first trial."""
        speeds: dict[int, dict[int, float]] = {best: {}, 0: {}}
        crashes = {best: 0, 0: 0}
        for block, setting in self._order((best, 0), PAIRS):
            if block == 1:
                self._speed(setting)
            speed, crashed = self.trial(setting)
            crashes[setting] += crashed
            if speed is not None:
                speeds[setting][block] = speed
        return Confirmation(
            "pairs", PAIRS, *(self._arm(n, speeds[n], crashes[n]) for n in (best, 0))
        )

    def _order(self, settings: tuple[int, ...], trials: int) -> Iterator[tuple[int, int]]:
        """Block and setting of each trial, in the order of a real search."""
        names, seed = {str(one): one for one in settings}, int(self._rng.integers(1 << 31))
        for trial in order_trials(list(names), trials, seed, in_turn=len(settings) == PAIR):
            yield trial.block, names[trial.cell_id]

    def _arm(self, setting: int, speeds: Mapping[int, float], crashes: int) -> Arm:
        cause = CRASH if crashes else None
        found = {"answer": speeds, "decode": speeds, "prefill": speeds}
        return Arm(str(setting), {"setting": setting}, found, len(speeds), crashes, cause)


def search(world: World, rng: np.random.Generator) -> tuple[int | None, bool, int]:
    """Search once: the setting that it ended with, whether a gain is claimed, trials it took."""
    machine, number = Machine(world, rng), len(world.speeds)
    steps = halve(number, SearchBudget(usual_trials(number)), machine.rung)
    best = next(iter(steps[-1].kept), None)
    trials = machine.trials
    failed = {index: cause for step in steps for index, cause in step.failed.items()}
    confirmation = None
    if best not in (None, 0) and 0 not in failed:
        confirmation = machine.pairs(int(best or 0))
    found = TuningResult(
        name="simulated",
        speed="answer",
        workload="",
        fixed={},
        axes={"setting": tuple(range(number))},
        combinations=number,
        budget="",
        rungs=(),
        tried=() if best is None else (TriedSetting({"setting": best}, best == 0, "best"),),
        confirmation=confirmation,
        default_fails=failed.get(0),
    )
    return best, judge(found).is_gain, trials


def simulate(world: World, runs: int, seed: int = 1) -> Counts:
    """Search so many times and count what came of it."""
    rng = np.random.default_rng(seed)
    counts = Counts()
    sound = [s for n, s in enumerate(world.speeds) if n not in world.crashes]
    for _ in range(runs):
        best, claimed, trials = search(world, rng)
        speed = 0.0 if best is None else world.speeds[best]
        is_near = best not in world.crashes and speed * (1 + NEAR) >= max(sound)
        counts.best += is_near / runs
        counts.claimed += claimed / runs
        counts.false += (claimed and speed <= world.speeds[0]) / runs
        counts.slower += (claimed and speed < world.speeds[0]) / runs
        counts.frail += (claimed and best in world.crashes) / runs
        counts.trials += trials / runs
    return counts


def alike(number: int) -> tuple[float, ...]:
    """All settings are equal."""
    return (1.0,) * number


def one_better(number: int, gain: float = 1.3) -> tuple[float, ...]:
    """One of them is that many times as fast."""
    return (*alike(number - 1), gain)


def ladder(number: int) -> tuple[float, ...]:
    """From the default to 1.3 times as fast in equal steps."""
    return tuple(np.linspace(1.0, 1.3, number).tolist())


def all_slower(number: int) -> tuple[float, ...]:
    """Every setting is 2 % slower than the default."""
    return (1.0, *(0.98,) * (number - 1))


def worlds() -> dict[str, World]:
    """What is simulated, by name."""
    found = {}
    for noise in (0.01, 0.03, 0.1):
        for name, speeds in (
            ("alike", alike(12)),
            ("one 1.3 times as fast", one_better(12)),
            ("ladder to 1.3", ladder(12)),
            ("all others 2 % slower", all_slower(12)),
        ):
            found[f"{name}, noise {noise:.0%}"] = World(speeds, noise)
    found |= {
        "alike, drift": World(alike(12), 0.03, drift=0.1),
        "one 1.3 times as fast, drift": World(one_better(12), 0.03, drift=0.1),
        "alike, bursts": World(alike(12), 0.03, is_bursty=True),
        "one 1.3 times as fast, bursts": World(one_better(12), 0.03, is_bursty=True),
        "the fastest crashes in half": World((*ladder(11), 1.6), 0.03, crashes={11: 0.5}),
        "alike, 2 settings": World(alike(2), 0.03),
        "one 1.1 times as fast, noise 5%, 2 settings": World(one_better(2, 1.1), 0.05),
        "one 1.1 times as fast, noise 5%, 4 settings": World(one_better(4, 1.1), 0.05),
        **_leaving(),
        "alike, 48 settings": World(alike(48), 0.03),
        "ladder, 48 settings": World(ladder(48), 0.03),
    }
    return found


def _leaving() -> dict[str, World]:
    """Worlds in which a trial slows down the one after it, or those after it."""
    found = {}
    for told, speeds in (("alike", alike(2)), ("one 1.1 times as fast", one_better(2, 1.1))):
        for who in ("other", "default"):
            for share, lasts in ((0.04, 0.0), (0.08, 0.0), (0.15, 0.0), (0.08, 0.5)):
                name = f"{told}, the {who} slows the next by {share:.0%}"
                name += f", {lasts:.0%} of it the one after" if lasts else ""
                leaves = {int(who == "other"): share}
                found[name] = World(speeds, 0.03, leaves=leaves, lasts=lasts)
    return found


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    runs = parser.parse_args().runs
    columns = ("settings", "best %", "claims %", "false %", "slower %", "frail %", "trials")
    sys.stdout.write(f"| {' | '.join(columns)} |\n|--|--:|--:|--:|--:|--:|--:|\n")
    for name, world in worlds().items():
        one = simulate(world, runs)
        shares = (one.best, one.claimed, one.false, one.slower, one.frail)
        told = " | ".join(f"{100 * share:.1f}" for share in shares)
        sys.stdout.write(f"| {name} | {told} | {one.trials:.0f} |\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
