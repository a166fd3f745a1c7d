"""Where `llama-bench` generates from: after the prompt, or from an empty context.

Facts of upstream: `tools/llama-bench/llama-bench.cpp` at 0.7.0. It reads a prompt and generates in
two separate tests. Option `--n-depth` puts so many tokens into the context before each of them;
with several depths, every test is made at each.
"""

from __future__ import annotations

from collect.workloads import AFTER_PROMPT, DECODE_AXIS, FROM_EMPTY, Benchmark
from experiments.engines.base import Axis, Cell

DECODE = Axis(
    DECODE_AXIS,
    str,
    default=AFTER_PROMPT,
    values=(AFTER_PROMPT, FROM_EMPTY),
    born_as=FROM_EMPTY,
    goes_with="prompt_tokens",
)
"""Where a matrix has prompts of several lengths, decode depends on them as it does for a user."""


def is_after_prompt(cell: Cell) -> bool:
    """Whether a cell generates after its prompt."""
    return cell.params.get(DECODE_AXIS) == AFTER_PROMPT


def no_benchmark(cell: Cell) -> str | None:
    """Return why a cell cannot have the axis; None if it can."""
    if DECODE_AXIS not in cell.params or isinstance(cell.workload, Benchmark):
        return None
    return f"the axis {DECODE_AXIS} is for the workload benchmark: leave it out"


def depths(cell: Cell, workload: Benchmark) -> tuple[str, ...]:
    """Options for the depths of the tests: 0 for the prompt, and where it generates."""
    if not is_after_prompt(cell):
        return ()
    return ("--n-depth", f"0,{workload.prompt_tokens}")


def longest(cell: Cell, workload: Benchmark) -> int:
    """Tokens of the longest sequence that was asked for."""
    read, made = workload.prompt_tokens, workload.generate_tokens
    return read + made if is_after_prompt(cell) else max(read, made)


def most_kept(cell: Cell, workload: Benchmark) -> int:
    """Tokens in the KV cache at most: each depth also has a test of the prompt."""
    twice = 2 * workload.prompt_tokens if is_after_prompt(cell) else 0
    return max(twice, longest(cell, workload))
