"""The verb that finds the best settings of an engine."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from core.errors import HerdError
from verbs.diary import LOG_HELP, record
from verbs.matrices import MATRIX_HELP, WITHOUT_HELP, leaving_out, matrix_of, names_of
from verbs.verb import PROJECT, say, verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.week.recorded import RecordedLine
    from collect.diary.keep import RunLink
    from collect.search import TuningResult
    from experiments.planning.matrix import Matrix
    from experiments.planning.plan import Plan
    from experiments.runner import RunResult
    from experiments.tune.beginning import TuningQuestion

TUNE_MATRIX = "experiments/matrices/tune.yml"


@verb(
    help={
        "engine": "the engine, such as llama.cpp",
        "model": "a model listed by `fab models`",
        "weights": "weight type: f32, f16, q8_0 or q4_0",
        "nodes": "number of nodes",
        "set": "an axis with the values to try, such as threads=1,2,4; with one it is fixed",
        "matrix": f"matrix of the default cell (default {TUNE_MATRIX})",
        "speed": "what is to be fast: answer (prompt and tokens), decode or prefill",
        "budget": "time or trials for all of it, such as 30min or 200",
        "pairs": "pairs of the confirmation, 10 or more",
        "out": "file of the matrix with the best setting (default: in the search's folder)",
        "dry-run": "list settings, trials and time; measure nothing",
        "inventory": MATRIX_HELP["inventory"],
        "without": WITHOUT_HELP,
        "new": "begin another search even if this one could continue",
        "log": LOG_HELP,
    },
    iterable=["set", "without"],
)
def tune(
    _context: Context,
    engine: str | None = None,
    model: str | None = None,
    weights: str | None = None,
    nodes: str | None = None,
    set: list[str] | None = None,  # noqa: A002  # the flag is called --set
    matrix: str | None = None,
    speed: str = "answer",
    budget: str | None = None,
    pairs: str = "10",
    out: str | None = None,
    dry_run: bool = False,
    inventory: str | None = None,
    without: list[str] | None = None,
    new: bool = False,
    log: bool = True,
) -> None:
    """Find the best settings of an engine on these nodes, or continue, and confirm the gain."""
    from experiments.tune.beginning import begin, search_lines
    from experiments.tune.record import UnfinishedError, find_search
    from experiments.tune.search import search
    from experiments.tune.winner import require_ours

    named = {"nodes": nodes, "engine": engine, "model": model, "weights": weights}
    wanted = matrix_of(matrix or str(PROJECT / TUNE_MATRIX), set or [], named, None, None)
    left_out = names_of(without)
    asked = _asked(leaving_out(wanted, left_out), speed, budget, pairs, inventory, left_out)
    results = PROJECT / "results"

    def look(one: Matrix) -> Plan:
        from experiments.planner import plan_matrix

        return plan_matrix(one, PROJECT, inventory=inventory, without=left_out)

    def run(one: Matrix) -> RunResult:
        return _run(one, inventory, left_out)

    if dry_run:
        for line in search_lines(asked, results, look):
            say(line)
        return
    if out:
        require_ours(Path(out))
    try:
        record = None if new else find_search(results, asked.key)
        record = record or begin(asked, results, look, run, say)
        say(f"Search {record.name}: {len(record.settings)} settings.")
        found = search(asked.matrix, record, run, say)
    except UnfinishedError as error:
        say(str(error))
        raise Exit(code=error.exit_code) from None
    _tell(asked, found, results, out, log=log)


def _run(matrix: Matrix, inventory: str | None, left_out: Sequence[str]) -> RunResult:
    """Run a rung; one that is complete is not begun again, and nothing is printed about it."""
    from rich.console import Console

    from experiments.runner import run_matrix
    from experiments.sessions.progress import make_progress

    return run_matrix(
        matrix,
        PROJECT,
        progress=make_progress(Console()),
        command=("fab", *sys.argv[1:]),
        inventory=inventory,
        without=left_out,
    )


def _asked(
    wanted: Matrix,
    speed: str,
    budget: str | None,
    pairs: str,
    inventory: str | None,
    left_out: Sequence[str],
) -> TuningQuestion:
    from collect.search import SPEEDS
    from experiments.planning.plan import inventory_of, those_left
    from experiments.tune.beginning import TuningQuestion
    from experiments.tune.budget import parse_budget, parse_pairs
    from experiments.tune.settings import default_matrix

    if speed not in SPEEDS:
        raise HerdError(f"--speed {speed}: give one of {', '.join(SPEEDS)}.")
    allowed, number = parse_budget(budget), parse_pairs(pairs)
    default_matrix(wanted)
    cluster = those_left(inventory_of(wanted, PROJECT, inventory, left_out), wanted)
    names = tuple(node.name for node in cluster.nodes)
    return TuningQuestion(wanted, allowed, number, speed, names)


def _tell(
    asked: TuningQuestion, found: TuningResult, results: Path, out: str | None, *, log: bool
) -> None:
    """Print the answer, and write the page and the matrix of a gain."""
    from analysis.settings.judgement import judge
    from analysis.settings.page import write_search_page
    from core.language.choice import languages_of
    from experiments.fleet.commands import below, fab
    from experiments.tune.record import folder_of
    from experiments.tune.settings import default_matrix
    from experiments.tune.winner import write_winner

    judged = judge(found)
    path = Path(out) if out else folder_of(results, found.name) / "best.yml"
    command = fab("run-matrix", "--matrix", below(path.resolve()))
    winner = command if judged.is_gain else None
    reports = PROJECT / "analysis" / "reports"
    page = write_search_page(found, judged, reports, winner, languages_of())
    say(f"Report: {page}")
    for sentence in (judged.answer, *judged.details):
        say(sentence)
    record("tuning", lambda: _recorded(found, page, judged.answer), wanted=log)
    if judged.is_gain:
        write_winner(path, default_matrix(asked.matrix), found, judged.answer)
        say(f"Matrix: {path}. Measure with it: {command}")
    elif found.best is None:
        raise Exit(code=1)


def _recorded(found: TuningResult, page: Path, answer: str) -> tuple[RunLink, RecordedLine]:
    """The line of a search for the research log."""
    from analysis.week.recorded import search_line
    from collect.diary.keep import RunLink

    tried = sum(one.rung > 0 for one in found.tried)
    engine, model = (str(found.fixed[name]) for name in ("engine", "model"))
    line = search_line(engine, model, tried, found.trials, answer, time.time())
    return RunLink(found.name, page), line
