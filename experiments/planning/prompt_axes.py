"""The token counts of a benchmark as axes: prompts of several lengths, several lengths of answer.

A cell has the number of its axis in its workload, and where the matrix does not name the axis, that
of the matrix's own workload.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from collect.workloads import FEWEST_TOKENS, MOST_TOKENS, PROMPT_AXES, Benchmark, Workload
from core.record import Scalar
from experiments.engines.base import Axis
from experiments.planning.parts import Place

OTHER_WORKLOAD = (
    "the axis {axis} is for the workload benchmark, and this matrix has {kinds}: leave it out, or "
    "write `kind: benchmark` in the workload"
)
AXES: tuple[Axis, ...] = tuple(
    Axis(name, int, default=Benchmark.model_fields[name].default) for name in PROMPT_AXES
)
"""Cells have them only where the matrix names them, and only with the workload `benchmark`."""


def count_problem(name: str, value: Scalar) -> str | None:
    """Say what is wrong with a number of tokens; None if nothing is, or it is of another axis."""
    if name not in PROMPT_AXES or FEWEST_TOKENS <= int(value) <= MOST_TOKENS:
        return None
    return f"invalid value {value} for axis {name}: give {FEWEST_TOKENS} to {MOST_TOKENS} tokens."


def other_workload_problems(
    axes: Mapping[str, Sequence[Scalar]], workloads: Sequence[Workload]
) -> Iterator[tuple[Place, str]]:
    """Find these axes in a matrix without a benchmark: place and sentence of each."""
    if any(isinstance(one, Benchmark) for one in workloads):
        return
    kinds = ", ".join(dict.fromkeys(one.kind for one in workloads))
    for name in PROMPT_AXES:
        if name in axes:
            yield (name,), OTHER_WORKLOAD.format(axis=name, kinds=kinds)


def each_length(
    workload: Workload, axes: Mapping[str, Sequence[Scalar]]
) -> Iterator[tuple[dict[str, Scalar], Workload]]:
    """Give a workload with each combination of the lengths that are asked for.

    Args:
        workload: of a matrix or of a part.
        axes: of the matrix, by name.

    Yields:
        The values of these axes, and the workload that has them as its numbers. One that is no
        benchmark comes as it is, without such an axis.
    """
    named = [name for name in PROMPT_AXES if name in axes]
    if not isinstance(workload, Benchmark) or not named:
        yield {}, workload
        return
    for values in itertools.product(*(dict.fromkeys(axes[name]) for name in named)):
        chosen = dict(zip(named, values, strict=True))
        yield chosen, workload.model_copy(update=chosen)
