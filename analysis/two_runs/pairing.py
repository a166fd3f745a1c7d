"""Which cell of one run is compared with which of the other.

A cell with the same id is the same: programs, model, workload and axes. Other cells are paired by
their axes. An axis that has one value in each run and another one in the other, or that only one of
them has, is a setting that was changed: it is not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.cells.arms import name_of
from analysis.cells.cells import CellResult
from analysis.study import Study
from analysis.text.sentence import say
from analysis.two_runs.changes import RunDifference, kinds_of_nodes, setting_change
from collect.labels import cell_label
from collect.run import RunManifest
from core.foreign import one_line
from core.record import Scalar

NO_SUCH = "the other run has no such cell"
OTHER_WORK = "the other run does other work with it"
NOT_DONE = {
    "baseline": "not measured in the baseline: {state}",
    "contender": "not measured in the contender: {state}",
}
NEITHER = "baseline: {before}; contender: {after}"
PART = "{part}: {name}"
BOTH_NAMES = "{contender} (baseline: {baseline})"
PROGRAM, MODEL, SETTING, MACHINES = "program", "model", "setting", "machines"
BY_IDENTITY, BY_AXES = "identity", "axes"


@dataclass(frozen=True, slots=True)
class PairedCell:
    """A cell of both runs.

    Attributes:
        name: for readers; both names where the contender's cell is called something else, because
            its axes differ.
        by: `identity`, or `axes` where the identities differ.
        changed: kinds of things that differ, as far as they are recorded: `program`, `model`,
            `setting`, `machines`, `machine`, `system`, `network`.
        part: of the run; empty for a run without parts.
    """

    name: str
    baseline: CellResult
    contender: CellResult
    by: str
    changed: tuple[str, ...]
    part: str = ""

    @property
    def key(self) -> str:
        """Identifies it."""
        return self.baseline.record.cell_id

    @property
    def is_measured(self) -> bool:
        """Both runs measured it."""
        return self.baseline.is_measured and self.contender.is_measured

    @property
    def is_open(self) -> bool:
        """The contender has trials of it left."""
        return self.contender.counts["pending"] > 0

    @property
    def is_lost(self) -> bool:
        """The baseline measured it, and every trial of the contender failed: none is left."""
        other = self.contender
        has_failed = other.counts["failed"] > 0 and not self.is_open
        return self.baseline.is_measured and has_failed and not other.is_measured


@dataclass(frozen=True, slots=True)
class NotPaired:
    """A cell that is not compared.

    Attributes:
        side: `baseline` or `contender`, which measured it, or `neither`.
        why: a clause.
    """

    side: str
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Pairing:
    """The cells of two runs.

    Attributes:
        settings: axes that were changed.
    """

    pairs: tuple[PairedCell, ...]
    left: tuple[NotPaired, ...]
    settings: tuple[RunDifference, ...]


def parts_of_study(study: Study) -> Mapping[str, Study]:
    """Each part of a run by its name; a run without parts as the part ``."""
    return study.parts or {"": study}


def pairing_of(baseline: Study, contender: Study) -> Pairing:
    """Pair the cells of two runs, part by part."""
    ours, others = parts_of_study(baseline), parts_of_study(contender)
    found = [
        _of_part(name, ours[name], others[name])
        for name in ours
        if name in others
    ]  # fmt: skip
    left = [one for each in found for one in each.left]
    for side, own, rest in (("baseline", ours, others), ("contender", others, ours)):
        for name in [one for one in own if one not in rest]:
            cells = _names(own[name], name)
            left += [NotPaired(side, label, say(NO_SUCH)) for label in cells.values()]
    settings = dict.fromkeys(one for each in found for one in each.settings)
    return Pairing(
        tuple(pair for each in found for pair in each.pairs), tuple(left), tuple(settings)
    )


def _of_part(part: str, baseline: Study, contender: Study) -> Pairing:
    names, others = _names(baseline, part), _names(contender, part)
    changed = changed_axes(baseline.run, contender.run)
    pairs: list[PairedCell] = []
    left: list[NotPaired] = []
    rest = {cell.record.cell_id: cell for cell in contender.cells}
    by_axes = {_axes(cell, changed): cell for cell in reversed(contender.cells)}
    for cell in baseline.cells:
        cell_id = cell.record.cell_id
        same = rest.get(cell_id)
        other = same or by_axes.get(_axes(cell, changed))
        if other is None or other.record.cell_id not in rest:
            left.append(NotPaired("baseline", names[cell_id], say(NO_SUCH)))
            continue
        if baseline.run.workload_of(cell.record) != contender.run.workload_of(other.record):
            left.append(NotPaired("baseline", names[cell_id], say(OTHER_WORK)))
            continue
        del rest[other.record.cell_id]
        kinds = _kinds(baseline.run, contender.run, cell, other)
        by = BY_IDENTITY if same else BY_AXES
        name = names[cell_id]
        if SETTING in kinds and name != (called := others[other.record.cell_id]):
            name = say(BOTH_NAMES, contender=called, baseline=name)
        pairs.append(PairedCell(name, cell, other, by, kinds, part))
    left += [NotPaired("contender", others[cell_id], say(NO_SUCH)) for cell_id in rest]
    left += _unmeasured(pairs)
    settings = [
        setting_change(axis, *values) for axis, values in changed.items() if _is_of(axis, pairs)
    ]
    return Pairing(tuple(pairs), tuple(left), tuple(settings))


def _is_of(axis: str, pairs: Iterable[PairedCell]) -> bool:
    """Whether an axis differs in cells that are compared."""
    both = ((pair.baseline.record.params, pair.contender.record.params) for pair in pairs)
    return any(one.get(axis) != other.get(axis) for one, other in both)


def _unmeasured(pairs: Iterable[PairedCell]) -> Iterator[NotPaired]:
    for pair in pairs:
        if not (pair.baseline.is_measured or pair.contender.is_measured):
            states = {"before": pair.baseline.state, "after": pair.contender.state}
            yield NotPaired("neither", pair.name, say(NEITHER, **states))
            continue
        sides = (("baseline", pair.baseline, pair.contender), ("contender", pair.contender,
                                                               pair.baseline))  # fmt: skip
        for side, cell, other in sides:
            if other.is_measured and not cell.is_measured:
                has = "contender" if side == "baseline" else "baseline"
                yield NotPaired(has, pair.name, say(NOT_DONE[side], state=cell.state))


def _names(study: Study, part: str) -> dict[str, str]:
    """Id of each cell to what it is called; where two are called the same, by all of its axes."""
    found: dict[str, str] = {}
    for series in study.all_series:
        for cell in series.cells:
            found[cell.record.cell_id] = name_of(series, cell, study.all_series)
    times = Counter(found.values())
    params = {cell.record.cell_id: cell.record.params for cell in study.cells}
    for cell_id, name in found.items():
        whole = name if times[name] == 1 else one_line(cell_label(params[cell_id]))
        found[cell_id] = say(PART, part=part, name=whole) if part else whole
    return found


def changed_axes(
    baseline: RunManifest, contender: RunManifest
) -> dict[str, tuple[Scalar | None, Scalar | None]]:
    """Axes that have one value in each run, or none, and another one in the other."""
    ours, others = _values(baseline), _values(contender)
    found: dict[str, tuple[Scalar | None, Scalar | None]] = {}
    for axis in sorted(ours.keys() | others.keys()):
        before, after = ours.get(axis, []), others.get(axis, [])
        if max(len(before), len(after)) == 1 and before != after:
            found[axis] = (before[0] if before else None, after[0] if after else None)
    return found


def _values(run: RunManifest) -> dict[str, list[Scalar]]:
    found: dict[str, list[Scalar]] = {}
    for cell in run.cells:
        for axis, value in cell.params.items():
            if axis not in ("arm", "part") and value not in found.setdefault(axis, []):
                found[axis].append(value)
    return found


def _axes(cell: CellResult, changed: Iterable[str]) -> frozenset[tuple[str, Scalar]]:
    without = {*changed, "arm", "part"}
    params = cell.record.params
    return frozenset((axis, value) for axis, value in params.items() if axis not in without)


def _kinds(
    ours: RunManifest, theirs: RunManifest, cell: CellResult, other: CellResult
) -> tuple[str, ...]:
    one, two = cell.record, other.record
    found = set()
    for name in one.identity.keys() | two.identity.keys():
        if one.identity.get(name) != two.identity.get(name):
            found.add(MODEL if name == MODEL else PROGRAM)
    if {k: v for k, v in one.params.items() if k != "arm"} != {
        k: v for k, v in two.params.items() if k != "arm"
    }:
        found.add(SETTING)
    if len(one.nodes) != len(two.nodes):
        found.add(MACHINES)
    for before, after in zip(one.nodes, two.nodes, strict=False):
        found |= kinds_of_nodes(ours.nodes.get(before, {}), theirs.nodes.get(after, {}))
    return tuple(sorted(found))


def measured_by_both(pairs: Sequence[PairedCell]) -> tuple[PairedCell, ...]:
    """Those that both runs measured."""
    return tuple(pair for pair in pairs if pair.is_measured)
