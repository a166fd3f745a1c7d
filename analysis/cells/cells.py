"""The cells of a run with what was measured in them, and the series that they form.

A series is all cells that differ in nothing but the number of nodes. Cells that name their machines
(axis `on`) or divide them (axis `groups`) are a series each: other machines are no step on the way
to more nodes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from analysis.cells.gpus import UsedGpu, gpus_used
from analysis.cells.labels import FIRST_NODES, GROUPS, ON, in_words, named_by, varying_axes
from analysis.cells.quota import on_quota
from analysis.statistics.stats import Estimate, estimate
from analysis.text.sentence import Sentence, reported, say, together
from analysis.text.wording import listing, plural
from collect.account import STATES
from collect.cells import CellRecord
from collect.columns import FIGURES
from collect.run import RunManifest
from collect.workloads import Documents, Greedy
from core.foreign import one_line
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


@dataclass(frozen=True, slots=True)
class Series:
    """Cells that differ only in the number of nodes, by that number.

    Attributes:
        params: axis to value, without `nodes`.
        label: names what distinguishes it from the run's other series; the engine if nothing does.
        panel_label: the same among the series of its model.
    """

    params: Mapping[str, Scalar]
    label: str
    panel_label: str
    cells: tuple[CellResult, ...]

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return str(self.params["engine"])

    @property
    def model(self) -> str:
        """Name of the model in the catalogue."""
        return one_line(str(self.params["model"]))

    @property
    def weights(self) -> str:
        """Type of the weights."""
        return str(self.params.get("weights", ""))

    @property
    def is_named(self) -> bool:
        """Its machines are named: it has one number of nodes, and was to have no other."""
        return self.params.get(ON, FIRST_NODES) != FIRST_NODES

    @property
    def is_of_one_number(self) -> bool:
        """Its machines are named, or divided: it was to have no other number of nodes."""
        return self.is_named or GROUPS in self.params

    @property
    def is_remote(self) -> bool:
        """It was asked over the Internet: no node of the cluster took part."""
        return self.engine == API_ENGINE

    @property
    def software(self) -> str:
        """How its GPU is called where some of its cells computed on a software one; else empty."""
        return _software(self.cells)

    @property
    def measured(self) -> tuple[CellResult, ...]:
        """Cells with at least one done trial."""
        return tuple(cell for cell in self.cells if cell.is_measured)

    def cell(self, nodes: int) -> CellResult | None:
        """The cell of that many nodes."""
        return next((cell for cell in self.cells if cell.nodes == nodes), None)


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


def series_of(cells: Iterable[CellResult]) -> tuple[Series, ...]:
    """The series of a run, in the order of their first cell."""
    groups: dict[tuple[tuple[str, Scalar], ...], list[CellResult]] = {}
    for cell in cells:
        key = tuple(sorted((k, v) for k, v in cell.record.params.items() if k != "nodes"))
        groups.setdefault(key, []).append(cell)
    all_params = [dict(key) for key in groups]
    varying = varying_axes(all_params)
    found = []
    for key, members in groups.items():
        params = dict(key)
        peers = [other for other in all_params if other.get("model") == params.get("model")]
        software = _software(members)
        system = _system_label(params, all_params, software)
        found.append(
            Series(
                params=params,
                label=one_line(system or _name(params, varying, software)),
                panel_label=one_line(system or _name(params, varying_axes(peers), software)),
                cells=tuple(sorted(members, key=lambda cell: cell.nodes)),
            )
        )
    return tuple(found)


def _software(cells: Iterable[CellResult]) -> str:
    """How the GPU of some cells is called where it is software; empty where it is none."""
    measured = [cell for cell in cells if cell.is_measured]
    names = dict.fromkeys(name for cell in measured for name in cell.software)
    if not names:
        return ""
    if all(cell.software for cell in measured):
        return SOFTWARE_GPU
    return say("GPU (software on {found})", found=listing(list(names)))


def _name(params: Mapping[str, Scalar], axes: Collection[str], software: str) -> str:
    """The values of axes; the engine where there are none."""
    return named_by(params, axes, otherwise=str(params["engine"]), software=software)


def _system_label(
    params: Mapping[str, Scalar], all_params: Iterable[Mapping[str, Scalar]], software: str
) -> str:
    """The name of the system, with what differs between series of that name; empty without one."""
    if "system" not in params:
        return ""
    alike = [other for other in all_params if other.get("system") == params["system"]]
    rest = named_by(params, varying_axes(alike), software=software)
    return f"{params['system']}, {rest}" if rest else str(params["system"])


def constants(series: Iterable[Series]) -> str:
    """What all series of a run have in common, in words; then what those of an engine have."""
    all_params = [one.params for one in series]
    varying = varying_axes(all_params)
    everywhere = set.intersection(*(set(params) for params in all_params)) if all_params else set()
    by_engine: dict[str, dict[str, Scalar]] = {}
    for params in all_params:
        own = {axis: value for axis, value in params.items() if axis not in varying}
        held = by_engine.setdefault(str(params["engine"]), own)
        by_engine[str(params["engine"])] = {axis: v for axis, v in held.items() if axis in own}
    shared = {
        axis: value
        for own in by_engine.values()
        for axis, value in own.items()
        if axis in everywhere
    }
    parts = [_spelled(shared)]
    for engine, own in by_engine.items():
        rest = {axis: value for axis, value in own.items() if axis not in everywhere}
        parts.append(
            say("those of {engine} {spelled}", engine=engine, spelled=_spelled(rest))
            if rest
            else ""
        )
    return together((part for part in parts if part), "; ")


def _spelled(params: Mapping[str, Scalar]) -> str:
    first = [axis for axis in ("engine", "model", "weights") if axis in params]
    rest = sorted(params.keys() - set(first))
    return together((in_words(axis, params[axis]) for axis in (*first, *rest)), ", ")


def subject(
    series: Series,
    all_series: Iterable[Series],
    *,
    with_model: bool = True,
    without: Collection[str] = (),
) -> Sentence:
    """`for stories15m (f32) with distributed-llama (net-turbo off)`, or from `with` on.

    Args:
        series: to be named.
        all_series: what it is distinguished from.
        with_model: name its model, too.
        without: axes that need no name here.
    """
    engine = engine_named(series, all_series, without)
    if not with_model:
        return say("with {engine}", engine=engine)
    return say("for {model} with {engine}", model=_model_named(series), engine=engine)


def engine_named(
    series: Series, all_series: Iterable[Series], without: Collection[str] = ()
) -> Sentence:
    """`distributed-llama (net-turbo off)`: the engine, and what else distinguishes a series."""
    varying = varying_axes(other.params for other in all_series)
    rest = [axis for axis in varying if axis not in ("engine", "model", "weights", *without)]
    extra = named_by(series.params, rest, software=series.software)
    if not extra:
        return say("{engine}", engine=series.engine)
    return say("{engine} ({extra})", engine=series.engine, extra=extra)


def _model_named(series: Series) -> str:
    return f"{series.model} ({series.weights})" if series.weights else series.model


def thing(series: Series, all_series: Iterable[Series]) -> Sentence:
    """`stories15m (f32) with distributed-llama (net-turbo off)`."""
    engine = engine_named(series, all_series)
    return say("{model} with {engine}", model=_model_named(series), engine=engine)
