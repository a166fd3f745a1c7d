"""How often a report speaks of a difference that is not there, and how often it finds one that is.

    python -m tests.benchmarks.false_findings [--runs 400]

Runs of known truth are made and go through what a report goes through: its comparisons, its
verdict, its key figures. docs/statistics.md has the table.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.cells.additions import additions_of
from analysis.cells.cells import CellResult
from analysis.cells.family import Claim, Family
from analysis.cells.gpus import UsedGpu
from analysis.cells.machines import Machines
from analysis.cells.scaling import scalings_of, speed_pairs
from analysis.cells.series import Series, series_of
from analysis.text.wording import within
from analysis.verdict.additions_text import addition_sentences, with_additions
from analysis.verdict.summary import key_figures
from analysis.verdict.verdict import verdict_of
from collect.account import STATES
from collect.cells import CellRecord
from collect.run import EQUIVALENCE_MARGIN
from tests.benchmarks.table import print_head, print_row

Floats = npt.NDArray[np.float64]
Noise = Callable[[np.random.Generator, tuple[int, ...]], Floats]
"""Factors of speed for an array of cells by blocks."""

MARGIN = within(EQUIVALENCE_MARGIN)
CLAIMS = re.compile(r"times as fast|are faster in \d|\b(are|is) slower|(^|\. |; )[Ff]astest for")
"""What a sentence may say only of a difference that was found."""


def normal(cv: float) -> Noise:
    """Normal, with that coefficient of variation."""
    return lambda rng, shape: np.maximum(1 + cv * rng.normal(size=shape), 0.02)


def lognormal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Skewed: half the trials are 1.4 times off or more."""
    return np.exp(0.5 * rng.normal(size=shape))


def two_modes(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Half of the trials at half the speed."""
    return np.where(rng.random(shape) < 0.5, 0.5, 1.0) * normal(0.03)(rng, shape)


def outliers(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """One trial of seven slowed down, some of them very much."""
    slow = np.where(rng.random(shape) < 0.15, 1 + rng.pareto(1.5, shape), 1.0)
    return normal(0.03)(rng, shape) / slow


def drift(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """What the machine does from block to block hits all cells (autocorrelation 0.7)."""
    blocks = np.zeros(shape[-1])
    for block in range(1, shape[-1]):
        blocks[block] = 0.7 * blocks[block - 1] + 0.15 * rng.normal()
    return np.exp(blocks) * normal(0.03)(rng, shape)


def uneven(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Each cell with its own noise, from a few per mille to tens of percent."""
    cv = np.exp(rng.normal(np.log(0.03), 1.0, size=(*shape[:-1], 1)))
    return np.exp(cv * rng.normal(size=shape))


def whole_ms(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Tokens of about 10 ms, told in whole ms: most trials are alike to the digit."""
    return 10 / np.round(10 / normal(0.03)(rng, shape))


NOISES: Mapping[str, Noise] = {
    "normal, 3 %": normal(0.03),
    "normal, 20 %": normal(0.2),
    "lognormal, 0.5": lognormal,
    "two modes": two_modes,
    "outliers": outliers,
    "drift": drift,
    "each cell its own": uneven,
    "whole ms": whole_ms,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What is simulated.

    Attributes:
        series: how many, each a model of its own, or with `rivals` engines of one model.
        nodes: how many numbers of nodes each series has.
        trials: of each cell.
        gains: index of a series to how many times as fast all but one node are there.
        lost: share of trials that failed for good.
        is_setup: each series is a GPU's, with more machines; two more have the processor alone,
            and those machines alone.
    """

    series: int
    nodes: int
    trials: int
    noise: str = "normal, 3 %"
    gains: Mapping[int, float] = field(default_factory=dict)
    rivals: bool = False
    lost: float = 0.0
    is_setup: bool = False


@dataclass(slots=True)
class Counts:
    """Of so many runs: with a difference in `comparisons.csv`, in a sentence or figure, found."""

    runs: int = 0
    compared: int = 0
    said: int = 0
    found: int = 0


def simulate(setting: Setting, runs: int, seed: int = 1) -> Counts:
    """Make so many runs and count what their reports say.

    `found`: of a series with a gain some number of nodes was called faster, on the average over
    such series; counted in runs.
    """
    rng = np.random.default_rng(seed)
    counts = Counts(runs)
    found = 0.0
    for _ in range(runs):
        all_series = _series(setting, rng)
        family = Family(speed_pairs(all_series))
        scalings = scalings_of(all_series, family)
        setups = additions_of(all_series, family, Machines({}, {}))
        added = [told for setup in setups for told in addition_sentences(setup, MARGIN)]
        verdict = verdict_of(all_series, scalings, {}, is_lab=False, family=family)
        verdict = with_additions(verdict, setups, MARGIN)
        figures = key_figures(all_series, scalings, family)
        told = " ".join((verdict.spoken, *verdict.details, *added))
        named = any(one.name == "Fastest" and one.value != "cannot tell" for one in figures)
        counts.compared += any(row.finding in (Claim.FASTER, Claim.SLOWER) for row in family.rows)
        counts.said += bool(CLAIMS.search(told)) or named
        if setting.gains:
            gained = [scalings[index].best.nodes > 1 for index in setting.gains]
            found += sum(gained) / len(gained)
    counts.found = round(found)
    return counts


def _series(setting: Setting, rng: np.random.Generator) -> tuple[Series, ...]:
    places = len(PLACES) if setting.is_setup else 1
    shape = (setting.series * places, setting.nodes, setting.trials)
    speeds = 100 * NOISES[setting.noise](rng, shape)
    for index, gain in setting.gains.items():
        speeds[index, 1:] *= gain
    kept = rng.random(shape) >= setting.lost
    return series_of(_cells(setting, speeds, kept))


def _cells(setting: Setting, speeds: Floats, kept: npt.NDArray[np.bool_]) -> Iterator[CellResult]:
    for series in range(len(kept)):
        place = PLACES[series // setting.series] if setting.is_setup else None
        for index in range(setting.nodes if place != PLACES[1] else 1):
            own = kept[series, index]
            done = pd.DataFrame(
                {
                    "block": np.flatnonzero(own) + 1,
                    "decode_tokens_per_s": speeds[series, index][own],
                }
            )
            yield CellResult(
                record=_record(series % setting.series, index + 1, place, rivals=setting.rivals),
                counts={**dict.fromkeys(STATES, 0), "done": len(done)},
                done=done,
                reasons=(),
                gpus={"pc": UsedGpu("a GPU", is_software=False)} if place == PLACES[0] else {},
            )


def _record(series: int, nodes: int, place: tuple[str, str] | None, *, rivals: bool) -> CellRecord:
    machines = ["pc", *(f"pi{node}" for node in range(1, nodes + 1))]
    first = place == PLACES[2]
    return CellRecord(
        cell_id=f"s{series}n{nodes}{''.join(place or ())}",
        params={
            "engine": f"engine{series}" if rivals else "engine",
            "model": "model" if rivals else f"model{series}",
            "nodes": nodes,
            "weights": "q4_0",
            **({"device": place[0], "group": place[1]} if place else {}),
        },
        identity={},
        nodes=tuple(machines[first : first + nodes]),
    )


PLACES = (("gpu", "cluster"), ("cpu", "cluster"), ("cpu", "raspberry_pis"))
"""Device and group of a setup's series: the GPU and more machines, the processor, they alone."""
MANY = 50
"""Series from which a tenth of the runs must do."""
NOTHING_THERE = (
    *(Setting(1, nodes, trials) for trials in (3, 6, 10) for nodes in (2, 3, 4, 6, 8)),
    *(Setting(engines, 4, 6, rivals=True) for engines in (2, 4)),
    *(Setting(1, 4, 6, noise) for noise in NOISES if noise != "normal, 3 %"),
    Setting(1, 4, 9, lost=0.2),
    *(Setting(engines, 3, 6, rivals=True, is_setup=True) for engines in (1, 2)),
    *(Setting(1, 3, 6, noise, is_setup=True) for noise in NOISES if noise != "normal, 3 %"),
    *(Setting(100, 4, trials) for trials in (3, 6, 10)),
    *(Setting(100, 4, 6, noise) for noise in ("lognormal, 0.5", "two modes", "each cell its own")),
)
SOMETHING_THERE = (
    Setting(1, 2, 6, gains={0: 1.3}),
    Setting(1, 4, 6, gains={0: 1.3}),
    Setting(1, 8, 6, gains={0: 1.3}),
    Setting(4, 4, 6, gains={0: 1.3}, rivals=True),
    *(Setting(n, 3, 6, gains={0: 1.3}, rivals=True, is_setup=True) for n in (1, 2)),
    Setting(100, 2, 6, gains={0: 1.3}),
    Setting(100, 4, 6, gains={0: 1.3}),
    Setting(100, 4, 6, gains=dict.fromkeys(range(100), 1.3)),
)


def main() -> None:
    """Write both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400, help="of a setting with few series")
    few = parser.parse_args().runs
    print_head(
        "series", "numbers of nodes", "trials", "noise", "runs", "comparison", "sentence, figure"
    )
    for setting in NOTHING_THERE:
        counts = _simulated(setting, few)
        shares = (f"{100 * part / counts.runs:.1f} %" for part in (counts.compared, counts.said))
        print_row(*_told(setting), counts.runs, *shares)
    print_head(
        "series", "numbers of nodes", "trials", "noise", "runs", "with a gain of 1.3", "found"
    )
    for setting in SOMETHING_THERE:
        counts = _simulated(setting, few)
        share = f"{100 * counts.found / counts.runs:.1f} %"
        print_row(*_told(setting), counts.runs, len(setting.gains), share)


def _simulated(setting: Setting, few: int) -> Counts:
    return simulate(setting, few if setting.series < MANY else few // 10)


def _told(setting: Setting) -> tuple[str, int, str, str]:
    kind = " engines" if setting.rivals else ""
    kind += ", a GPU and Pis" if setting.is_setup else ""
    lost = ", a fifth lost" if setting.lost else ""
    series, trials = f"{setting.series}{kind}", f"{setting.trials}{lost}"
    return series, setting.nodes, trials, setting.noise


if __name__ == "__main__":
    main()
