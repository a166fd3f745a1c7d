"""Which cells are a base's and which are those of the model tuned from it, with all else equal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.cells.cells import CellResult
from analysis.cells.family import Pair, Side
from analysis.cells.labels import named_by, varying_axes
from analysis.cells.scaling import DECODE, SPEED
from analysis.cells.tabulate import SHORT
from analysis.statistics.stats import paired_ratio
from analysis.text.sentence import Sentence, say
from analysis.text.wording import nodes
from collect.run import RunManifest
from core.record import Scalar
from models.padding import split_name
from models.tuned import TunedRecord
from models.tuned_prompts import PROMPTS_FILE

ADAPTER, NO_ADAPTER = "adapter", "none"
"""Axis of engines whose client reads a tuned part next to the base, and its value without one."""
_APART = frozenset({"model", "system"})
"""Axes in which the two arms of a pair differ: an API's name says which model it serves."""
_NAMED_FIRST = ("engine", "weights")

NO_BASE = "{tuned} has no before: this run has no cell of {base}, the model it was made of."
NO_PARTNER = "{tuned} with {where} has no before: this run has no cell of {base} that is the same."
NO_RECORD = (
    "{tuned} has no before and after: this run does not say what it was made of. Plan the run "
    "again on the machine that has the record of its training."
)
SAME_WEIGHTS = (
    "{tuned} and {base} with {where} are not compared: both read the same weights ({sha256})."
)
OTHER_BASE = (
    "{tuned} with {where} is not compared: the weights of {base} in this run are {found}, and the "
    "ones that it was made of are {wanted}."
)
OTHER_TUNED = (
    "{tuned} with {where} is not compared: it read the weights {found}, and the ones whose "
    "sameness was proved are {wanted}."
)
OTHER_ADAPTER = (
    "{tuned} with {where} is not compared: the prompts {found} were read, and the ones that were "
    "trained are {wanted}."
)
UNCHECKED = (
    "Of {cells} it is unknown which weights they read, so they were not checked to be different "
    "ones before and after."
)

Read = Mapping[str, frozenset[str]]
"""Cell to the hashes of the weights that its attempts read; nothing where they do not say."""


@dataclass(frozen=True, slots=True)
class Arms:
    """Two cells that differ in nothing but tuning.

    Attributes:
        record: how the tuned model was made.
        base: the base's name in the cells, with its padding.
        tuned: the tuned model's.
        before: the base's cell.
        after: the tuned model's.
        where: engine, weights, nodes and what else distinguishes the pairs of a run.
        is_adapter: the tuned part is read next to the base and was never merged.
    """

    record: TunedRecord
    base: str
    tuned: str
    before: CellResult
    after: CellResult
    where: str
    is_adapter: bool

    @property
    def is_padded(self) -> bool:
        """Their files are others than those that training proved."""
        return split_name(self.base)[1] is not None


@dataclass(frozen=True, slots=True)
class Paired:
    """The pairs of a run, or of a part of it.

    Attributes:
        arms: what may be compared.
        refusals: why others are not, a sentence each.
        unchecked: the pairs whose weights are unknown, as `Arms.where` names them.
    """

    arms: tuple[Arms, ...]
    refusals: tuple[Sentence, ...]
    unchecked: tuple[str, ...]


def arms_of(run: RunManifest, cells: Sequence[CellResult], read: Read, adapters: Read) -> Paired:
    """Find the pairs of a run that may be compared, and say why others may not.

    Args:
        run: the run's plan.
        cells: of the run, or of a part of it.
        read: the hashes of the weights that each cell read.
        adapters: the hashes of the adapters that each cell read.
    """
    arms: list[Arms] = []
    refusals = [say(NO_RECORD, tuned=name) for name in _without_record(run, cells)]
    unchecked: list[str] = []
    found, lacking = _matched(run, cells)
    refusals += lacking
    for pair in found:
        refusal = _refusal(pair, read, adapters)
        if refusal is not None:
            refusals.append(refusal)
            continue
        arms.append(pair)
        measured = pair.before.is_measured and pair.after.is_measured
        known = [_hashes(pair.before, read), _hashes(pair.after, read)]
        known += [_hashes(pair.after, adapters)] if pair.is_adapter else []
        if measured and not all(known):
            unchecked.append(pair.where)
    return Paired(tuple(arms), tuple(dict.fromkeys(refusals)), tuple(dict.fromkeys(unchecked)))


def control_pairs(run: RunManifest, cells: Sequence[CellResult]) -> tuple[Pair, ...]:
    """The speed of each tuned model's cell with its base's: merging must not change it."""
    pairs = []
    for arms in _matched(run, cells)[0]:
        if not _is_timed(arms.before) or not _is_timed(arms.after):
            continue
        ratio = paired_ratio(arms.after.by_block(DECODE), arms.before.by_block(DECODE))
        after, before = (
            Side(cell.record.cell_id, say("{name} with {where}", name=name, where=arms.where))
            for cell, name in ((arms.after, arms.tuned), (arms.before, arms.base))
        )
        pairs.append(Pair(SPEED, after, before, len(ratio.blocks) if ratio else 0, ratio))
    return tuple(pairs)


def _is_timed(cell: CellResult) -> bool:
    return bool(cell.nodes and not cell.software and cell.by_block(DECODE))


def _tuned_name(cell: CellResult) -> tuple[str, bool]:
    """The name of the tuned model that a cell may be of, and whether that is its adapter."""
    adapter = str(cell.record.params.get(ADAPTER, NO_ADAPTER))
    if adapter != NO_ADAPTER:
        return adapter, True
    return split_name(str(cell.record.params["model"]))[0], False


def _without_record(run: RunManifest, cells: Iterable[CellResult]) -> Iterator[str]:
    names = (name for name, is_adapter in map(_tuned_name, cells) if is_adapter)
    yield from (name for name in dict.fromkeys(names) if name not in run.tuned)


def _matched(run: RunManifest, cells: Sequence[CellResult]) -> tuple[list[Arms], list[Sentence]]:
    """Every pair of the plan, and why cells of tuned models have none."""
    bases = {_base_key(cell): cell for cell in cells if not _tuned_name(cell)[1]}
    models = {split_name(str(cell.record.params["model"]))[0] for cell in bases.values()}
    after = [cell for cell in cells if _tuned_name(cell)[0] in run.tuned]
    axes = _telling(after)
    arms, lacking = [], []
    for cell in after:
        name, is_adapter = _tuned_name(cell)
        record = run.tuned[name]
        base = record.parentage.base
        where = _where(cell, axes)
        model = str(cell.record.params["model"])
        padding = model.removeprefix(split_name(model)[0])
        partner = bases.get((base + padding, _rest(cell.record.params, is_adapter=is_adapter)))
        if partner is not None:
            tuned = name if is_adapter else model
            arms.append(Arms(record, base + padding, tuned, partner, cell, where, is_adapter))
        elif base not in models:
            lacking.append(say(NO_BASE, tuned=name, base=base))
        else:
            lacking.append(say(NO_PARTNER, tuned=name, where=where, base=base))
    return arms, lacking


_Rest = frozenset[tuple[str, Scalar]]


def _base_key(cell: CellResult) -> tuple[str, _Rest]:
    params = cell.record.params
    return str(params["model"]), _rest(params, is_adapter=params.get(ADAPTER) == NO_ADAPTER)


def _rest(params: Mapping[str, Scalar], *, is_adapter: bool) -> _Rest:
    apart = _APART | {ADAPTER} if is_adapter or params.get(ADAPTER) == NO_ADAPTER else _APART
    return frozenset((axis, value) for axis, value in params.items() if axis not in apart)


def _telling(cells: Iterable[CellResult]) -> tuple[str, ...]:
    """The axes that distinguish pairs, engine and weights always among them."""
    varying = varying_axes(cell.record.params for cell in cells)
    apart = (*_APART, ADAPTER, "nodes", "part", *_NAMED_FIRST)
    return (*_NAMED_FIRST, *(axis for axis in varying if axis not in apart))


def _where(cell: CellResult, axes: Sequence[str]) -> str:
    where = named_by(cell.record.params, axes)
    return say("{where}, {nodes}", where=where, nodes=nodes(cell.nodes)) if cell.nodes else where


def _hashes(cell: CellResult, read: Read) -> frozenset[str]:
    return read.get(cell.record.cell_id, frozenset())


def _refusal(arms: Arms, read: Read, adapters: Read) -> Sentence | None:
    """Why the two arms are no before and after; None where they are, or nothing is known."""
    before, after = _hashes(arms.before, read), _hashes(arms.after, read)
    named = {"tuned": arms.tuned, "base": arms.base, "where": arms.where}
    if not arms.is_adapter and (shared := before & after):
        return say(SAME_WEIGHTS, **named, sha256=min(shared)[:SHORT])
    for template, found, wanted in (
        (OTHER_BASE, before, _proved(arms, is_base=True)),
        (OTHER_BASE if arms.is_adapter else OTHER_TUNED, after, _proved(arms, is_base=False)),
        (OTHER_ADAPTER, _hashes(arms.after, adapters), arms.record.adapter.get(PROMPTS_FILE)),
    ):
        if wanted and found and found != {wanted}:
            other = min(found - {wanted})[:SHORT]
            return say(template, **named, found=other, wanted=wanted[:SHORT])
    return None


def _proved(arms: Arms, *, is_base: bool) -> str | None:
    """The hash that an arm's file must have; None where it is not known.

    Next to an adapter that is the base's, and else that of the file whose sameness was proved.
    """
    if arms.is_adapter:
        return arms.record.parentage.base_sha256
    sameness, params = arms.record.sameness, arms.before.record.params
    if sameness is None or arms.is_padded:
        return None
    for export in sameness.exports:
        if (export.engine, export.weights) == (params["engine"], params["weights"]):
            return export.base_sha256 if is_base else export.sha256
    return None
