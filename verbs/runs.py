"""Verbs that measure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from core.errors import HerdError
from verbs.diary import LOG_HELP
from verbs.matrices import MATRIX_HELP, MAX_COST_HELP, NOISE_HELP, WITHOUT_HELP, matrix_of
from verbs.outcome import conclude, export_answers_of, measure
from verbs.verb import PROJECT, say, verb

if TYPE_CHECKING:
    from analysis.agreement.report import Agreed

AGREEMENT_MATRIX = "experiments/matrices/agreement.yml"


@verb(
    help={
        **MATRIX_HELP,
        "without": WITHOUT_HELP,
        "max-cost": MAX_COST_HELP,
        "noise": NOISE_HELP,
        "until": "add blocks until the 95 % interval of each cell's tokens/s is that narrow, as 3%",
        "most": "trials of a cell at most with --until (default 60)",
        "new": "start a new run even if an unfinished one could continue",
        "log": LOG_HELP,
    },
    iterable=["set", "without"],
)
def run_matrix(
    _context: Context,
    nodes: str | None = None,
    engine: str | None = None,
    model: str | None = None,
    weights: str | None = None,
    repeats: str | None = None,
    seed: str | None = None,
    set: list[str] | None = None,  # noqa: A002  # the flag is called --set
    matrix: str | None = None,
    inventory: str | None = None,
    without: list[str] | None = None,
    max_cost: str | None = None,
    noise: bool = False,
    until: str | None = None,
    most: str | None = None,
    new: bool = False,
    log: bool = True,
) -> None:
    """Run a matrix, or continue an unfinished run, and write its report."""
    from experiments.planning.money import parse_sum
    from experiments.sessions.until import until_of

    named = {"nodes": nodes, "engine": engine, "model": model, "weights": weights}
    wanted = matrix_of(matrix, set or [], named, repeats, seed, noise=noise)
    enough = until_of(until, most)
    result = measure(
        wanted, inventory, without, new=new, max_cost=parse_sum(max_cost), until=enough
    )
    conclude(result, log=log)
    if result.exit_code:
        raise Exit(code=result.exit_code)


@verb(
    help={
        **{name: MATRIX_HELP[name] for name in ("nodes", "engine", "model", "weights", "set")},
        "matrix": f"prompts and text (default {AGREEMENT_MATRIX})",
        "inventory": MATRIX_HELP["inventory"],
        "without": WITHOUT_HELP,
        "new": "start a new run even if an unfinished one could continue",
        "log": LOG_HELP,
    },
    iterable=["set", "without"],
)
def check_agreement(
    _context: Context,
    nodes: str | None = None,
    engine: str | None = None,
    model: str | None = None,
    weights: str | None = None,
    set: list[str] | None = None,  # noqa: A002  # the flag is called --set
    matrix: str | None = None,
    inventory: str | None = None,
    without: list[str] | None = None,
    new: bool = False,
    log: bool = True,
) -> None:
    """Compare engines' texts with the reference implementation, token by token."""
    from collect.workloads import Greedy

    named = {"nodes": nodes, "engine": engine, "model": model, "weights": weights}
    wanted = matrix_of(matrix or str(PROJECT / AGREEMENT_MATRIX), set or [], named, None, None)
    if not isinstance(wanted.workload, Greedy):
        found = f"its workload is {wanted.workload.kind}" if wanted.workload else "it has `parts`"
        raise HerdError(
            f"--matrix {matrix}: {found}; agreement needs the workload `greedy`, as in "
            f"{AGREEMENT_MATRIX}."
        )
    result = measure(wanted, inventory, without, new=new)
    agreement = conclude(result, log=log).agreement
    if agreement:
        _print_agreement(agreement)
    if result.exit_code or (agreement and agreement.is_wrong):
        raise Exit(code=result.exit_code or 1)


def _print_agreement(agreement: Agreed) -> None:
    from analysis.agreement.report import agreement_table
    from analysis.cells.tabulate import lines

    for line in (*lines(agreement_table(agreement.cells)), *agreement.sentences):
        say(line)


@verb(
    help={
        "questions": "questions file (default: the matrix's)",
        "systems": "names from experiments/systems.yml, such as chatgpt,distributed-llama",
        "systems-file": "another systems file",
        "repeats": "how often each system is asked",
        "max-cost": MAX_COST_HELP,
        "replay": "use API answers kept from earlier runs; asks no API, costs nothing",
        "matrix": "longest answer, temperature … (default experiments/matrices/compare.yml)",
        "inventory": MATRIX_HELP["inventory"],
        "without": WITHOUT_HELP,
        "new": "start a new run even if an unfinished one could continue",
        "log": LOG_HELP,
        "export": "also write this text file: every question with every system's answer",
    },
    iterable=["without"],
)
def compare(
    _context: Context,
    questions: str | None = None,
    systems: str | None = None,
    systems_file: str | None = None,
    repeats: str | None = None,
    max_cost: str | None = None,
    replay: bool = False,
    matrix: str | None = None,
    inventory: str | None = None,
    without: list[str] | None = None,
    new: bool = False,
    log: bool = True,
    export: str | None = None,
) -> None:
    """Ask systems the same questions, or continue an unfinished run, and write the report."""
    from experiments.planning.compare import comparison, require_writable
    from experiments.planning.money import parse_sum

    if export:
        require_writable(Path(export))
    wanted = comparison(
        matrix=matrix,
        questions=questions,
        systems=systems,
        systems_file=systems_file,
        repeats=repeats,
        replay=replay,
    )
    result = measure(wanted, inventory, without, new=new, max_cost=parse_sum(max_cost))
    conclude(result, log=log)
    if export:
        export_answers_of(result.folder, export)
    if result.exit_code:
        raise Exit(code=result.exit_code)
