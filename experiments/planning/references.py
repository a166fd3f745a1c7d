"""Asks the reference implementation for the expected texts of a plan's models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from collect.reference import References, ReferenceSays, ReferenceText
from collect.workloads import Greedy
from experiments.engines.base import Cell
from experiments.engines.common import encoder, model_spec
from experiments.planning.plan import Plan
from models.encoder import Encoder
from models.fetch import open_checkpoint
from models.reference import Continuation, Reference
from models.shape import ALL_WEIGHTS


def references_of(plan: Plan) -> References | None:
    """What each model says with each type of its weights and with float32; None if not asked.

    Raises:
        HerdError: a model cannot be had.
    """
    workload = _greedy(plan)
    return None if workload is None else _of(_possible(plan), workload)


def more_references(plan: Plan, known: References) -> References | None:
    """What models say that have become possible since; None if nothing is missing.

    Raises:
        HerdError: a model cannot be had.
    """
    workload = _greedy(plan)
    cells = [cell for cell in _possible(plan) if known.lacks(cell.model, cell.weights)]
    return _of(cells, workload) if cells and workload is not None else None


def _greedy(plan: Plan) -> Greedy | None:
    """The workload that asks the reference: a matrix has one at most."""
    return next((one for one in plan.matrix.workloads if isinstance(one, Greedy)), None)


def _possible(plan: Plan) -> list[Cell]:
    """The cells that can run and are compared with the reference."""
    cells = [plan.by_id[record.cell_id] for record in plan.cells if record.unavailable is None]
    return [cell for cell in cells if isinstance(cell.workload, Greedy)]


def _of(cells: Sequence[Cell], workload: Greedy) -> References:
    return References(
        models={
            model: _says(model, {c.weights for c in cells if c.model == model}, workload)
            for model in dict.fromkeys(cell.model for cell in cells)
        }
    )


def _says(model: str, asked: Iterable[str], workload: Greedy) -> dict[str, ReferenceSays]:
    wanted = {"f32", *asked}
    checkpoint, splitter = open_checkpoint(model_spec(model)), encoder(model)
    says = {}
    for weights in ALL_WEIGHTS:
        if weights not in wanted:
            continue
        reference = Reference(checkpoint, weights)
        found = reference.generate(
            [splitter.encode(prompt) for prompt in workload.prompts], workload.positions
        )
        says[str(weights)] = ReferenceSays(
            continuations=tuple(_text(continuation, splitter) for continuation in found),
            scored=reference.score(splitter.encode(workload.text)),
        )
    return says


def _text(continuation: Continuation, splitter: Encoder) -> ReferenceText:
    compared = _texts_before_sign(continuation.ids, splitter)
    return ReferenceText(
        pieces=tuple(splitter.piece(token) for token in continuation.ids),
        compared=compared,
        margins=continuation.margins,
    )


def _texts_before_sign(ids: Sequence[int], splitter: Encoder) -> int:
    for index, token in enumerate(ids):
        if not splitter.is_text(token):
            return index
    return len(ids)
