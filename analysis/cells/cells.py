"""The cells of a run with what was measured in them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from analysis.cells.gpus import UsedGpu, gpus_used
from analysis.cells.quota import on_quota
from analysis.statistics.stats import Estimate, estimate
from analysis.text.sentence import reported, say, together
from analysis.text.wording import listing, plural
from collect.account import STATES
from collect.cells import CellRecord
from collect.columns import FIGURES
from collect.run import RunManifest
from collect.workloads import Documents, Greedy
from core.record import Scalar

API_ENGINE = "openai"
"""It has no nodes; its times are those of a network and of a service with other customers."""
TIMINGS = ("_s", "_ms", "_ms_per_token")
"""How the names of columns end that depend on how fast a machine is."""
SOFTWARE_GPU = "software GPU"
RATES = "_per_s"
"""How the names of columns end that hold rates."""
LINK_RATE, LINK_DELAY = "link_mbit", "link_delay_ms"
"""Axes of links that were shaped; a rate of 0 is the lab's own."""
Rest = tuple[tuple[str, Scalar], ...]
"""The axes of a cell and their values, without some."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """What came of the attempts at a cell's trials.

    Attributes:
        good: attempts that succeeded.
        thrown: those that failed or are no measurement, and are in no figure.
        causes: why, each once, the most frequent first.
    """

    good: int = 0
    thrown: int = 0
    causes: tuple[str, ...] = ()

    @property
    def made(self) -> int:
        """All of them."""
        return self.good + self.thrown


@dataclass(frozen=True, slots=True)
class CellResult:
    """A cell and its trials.

    Attributes:
        record: the cell as planned.
        counts: state to number of trials, for every state of a trial.
        done: rows of the trials table that are done (columns: see `collect.tables`).
        reasons: why trials are not done, or not a measurement, each distinct sentence once.
        attempts: what came of the attempts at its trials.
        emulated: its nodes whose processor is emulated; what they take is the emulator's time, so
            such a cell has no timings, and everything else.
        gpus: node to the GPU on which it computed.
        on_quota: its nodes that a CPU quota stops (`analysis.cells.quota`).
    """

    record: CellRecord
    counts: Mapping[str, int]
    done: pd.DataFrame
    reasons: tuple[str, ...]
    attempts: Attempts = Attempts()
    emulated: tuple[str, ...] = ()
    gpus: Mapping[str, UsedGpu] = field(default_factory=dict)
    on_quota: tuple[str, ...] = ()
    _read: dict[str, dict[int, float]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Columns that were read before: a report asks for the same ones again and again."""
    _texts: list[set[str]] = field(default_factory=list, init=False, repr=False, compare=False)
    """The texts, once they were read."""

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return int(self.record.params["nodes"])

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return str(self.record.params["engine"])

    @property
    def planned(self) -> int:
        """Number of trials planned: the sum of `counts`."""
        return sum(self.counts.values())

    @property
    def is_complete(self) -> bool:
        """Every planned trial is done."""
        return self.counts["done"] == self.planned > 0

    @property
    def software(self) -> tuple[str, ...]:
        """Its nodes whose GPU is software: its speed is shown, and compared with no other."""
        return tuple(name for name, gpu in self.gpus.items() if gpu.is_software)

    @property
    def is_measured(self) -> bool:
        """At least one trial is done."""
        return self.counts["done"] > 0

    @property
    def state(self) -> str:
        """The state in words: `complete`, `3 of 5 trials`, `unavailable`, `2 failed, 1 pending`."""
        if self.is_complete:
            return "complete, emulated" if self.emulated else "complete"
        if self.is_measured:
            return say(
                "{done} of {planned}",
                done=self.counts["done"],
                planned=plural(self.planned, "trial"),
            )
        states = [state for state in STATES if self.counts[state]]
        if len(states) == 1:
            return states[0]
        return together(
            (say("{counts} {state}", counts=self.counts[state], state=state) for state in states),
            ", ",
        )

    def by_block(self, column: str) -> dict[int, float]:
        """Block to value of a column, for done trials that have one; not to be changed."""
        if column not in self._read:
            self._read[column] = self._by_block(column)
        return self._read[column]

    def _by_block(self, column: str) -> dict[int, float]:
        if column not in self.done or (self.emulated and column.endswith(TIMINGS)):
            return {}
        values = self.done[column]
        if not pd.api.types.is_numeric_dtype(values.dtype):
            values = pd.to_numeric(values, errors="coerce")
        figures = values.to_numpy(dtype=float, na_value=math.nan).tolist()
        return {
            int(block): value
            for block, value in zip(self.done["block"], figures, strict=True)
            if not math.isnan(value)
        }

    def estimate(self, column: str) -> Estimate | None:
        """Median of a column over done trials; None if none has a value."""
        values = list(self.by_block(column).values())
        return estimate(values, of_rates=column.endswith(RATES))

    def texts(self) -> set[str]:
        """Hashes of the texts that its trials generated, where the engine prints them."""
        if not self._texts:
            has_any = "text_sha256" in self.done
            told = self.done["text_sha256"].dropna() if has_any else ()
            self._texts.append({str(value) for value in told})
        return self._texts[0]


def cell_results(
    run: RunManifest,
    trials: pd.DataFrame,
    attempts: pd.DataFrame | None = None,
    nodes: pd.DataFrame | None = None,
) -> tuple[CellResult, ...]:
    """The cells of a run, in its order, with their trials.

    Those of a greedy workload, or of documents, have no figures: each of a cell's trials does
    another thing.

    Args:
        run: the run's plan.
        trials: table of the run.
        attempts: table of the run; without it nothing is known of attempts that do not count.
        nodes: table of the run; without it nothing is known of the GPUs of its cells.
    """
    if isinstance(run.workload, Greedy | Documents):
        trials = trials.drop(columns=list(FIGURES), errors="ignore")
    groups = {str(cell_id): rows for cell_id, rows in trials.groupby("cell_id", sort=False)}
    empty = trials.iloc[:0]
    emulated = {name for name, facts in run.nodes.items() if facts.get("emulated")}
    tried = _attempts(trials, attempts)
    gpus = gpus_used(trials, nodes)
    return tuple(
        replace(
            _result(
                record,
                groups.get(record.cell_id, empty),
                tried.get(record.cell_id, Attempts()),
                emulated,
                gpus.get(record.cell_id, {}),
            ),
            on_quota=on_quota(run, record),
        )
        for record in run.cells
    )


def _attempts(trials: pd.DataFrame, attempts: pd.DataFrame | None) -> dict[str, Attempts]:
    if attempts is None or attempts.empty:
        return {}
    owner = dict(zip(trials["trial_id"], trials["cell_id"], strict=True))
    good: Counter[str] = Counter()
    thrown: Counter[str] = Counter()
    causes: dict[str, Counter[str]] = {}
    told = (attempts[name] for name in ("trial_id", "outcome", "cause"))
    for trial_id, outcome, cause in zip(*told, strict=True):
        cell_id = str(owner[trial_id])
        if outcome == "done":
            good[cell_id] += 1
            continue
        thrown[cell_id] += 1
        if not pd.isna(cause):
            causes.setdefault(cell_id, Counter())[str(cause)] += 1
    return {
        cell_id: Attempts(
            good[cell_id],
            thrown[cell_id],
            tuple(reported(cause) for cause, _ in causes.get(cell_id, Counter()).most_common()),
        )
        for cell_id in good | thrown
    }


def _result(
    record: CellRecord,
    rows: pd.DataFrame,
    attempts: Attempts,
    all_emulated: Collection[str],
    gpus: Mapping[str, UsedGpu],
) -> CellResult:
    states = Counter(rows["state"])
    told = zip(rows["state"], rows["reason"], strict=True)
    reasons = [
        reported(why)
        for why in dict.fromkeys(
            str(why) for state, why in told if state != "done" and not pd.isna(why)
        )
    ]
    emulated = [name for name in record.nodes if name in all_emulated]
    if emulated:
        reasons.append(say("the processor of {emulated} is emulated", emulated=listing(emulated)))
    return CellResult(
        record=record,
        counts={state: states[state] for state in STATES},
        done=rows if states["done"] == len(rows) else rows[rows["state"] == "done"],
        reasons=tuple(reasons),
        attempts=attempts,
        emulated=tuple(emulated),
        gpus=gpus,
    )


def link_of(cell: CellResult) -> tuple[Rest, tuple[int, float] | None]:
    """A cell's other axes, and its link such that faster ones come first; None if not shaped."""
    params = cell.record.params
    rest = tuple(sorted((k, v) for k, v in params.items() if k not in (LINK_RATE, LINK_DELAY)))
    if len(rest) == len(params):
        return rest, None
    rate = int(params.get(LINK_RATE, 0))
    return rest, (int(params.get(LINK_DELAY, 0)), -(rate or float("inf")))
