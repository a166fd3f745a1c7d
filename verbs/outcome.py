"""What verbs print after they measured: the ledger, the report, the answers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from verbs.diary import record
from verbs.matrices import leaving_out, names_of
from verbs.verb import PROJECT, say, say_besides

if TYPE_CHECKING:
    from analysis.report import Report
    from analysis.week.recorded import RecordedLine
    from collect.diary.keep import RunLink
    from experiments.planning.matrix import Matrix
    from experiments.runner import RunResult
    from experiments.sessions.until import Until


def measure(
    matrix: Matrix,
    inventory: str | None,
    without: list[str] | None,
    *,
    new: bool,
    max_cost: float | None = None,
    until: Until | None = None,
) -> RunResult:
    """Run a matrix and print how that went."""
    from rich.console import Console

    from experiments.runner import run_matrix as execute_matrix
    from experiments.sessions.progress import make_progress

    left_out = names_of(without)
    result = execute_matrix(
        leaving_out(matrix, left_out),
        PROJECT,
        progress=make_progress(Console()),
        new=new,
        command=("fab", *sys.argv[1:]),
        inventory=inventory,
        without=left_out,
        max_cost=max_cost,
        until=until,
    )
    for line in (*result.notes, *result.bill):
        say(line)
    if result.already_complete:
        say(_nothing_measured(result.counts))
    print_status({"run": result.folder.name, **result.counts})
    return result


def _nothing_measured(counts: Mapping[str, int]) -> str:
    """Why a run did not continue."""
    failed, unavailable = counts["failed"], counts["unavailable"]
    if failed:
        return (
            f"Nothing was measured: {failed} trials of this run failed as often as max_attempts "
            "allows, and no others remain. When the cause is fixed, start another run with "
            "--new."
        )
    if unavailable:
        return "Nothing was measured: everything that can run here was measured before. See above."
    return "This run was already complete: nothing was measured. Start another one with --new."


def print_status(counts: Mapping[str, str | int]) -> None:
    """Print the ledger of a run: its name and the number of trials in each state."""
    say(
        f"{counts['run']}: {counts['planned']} planned = {counts['done']} done + "
        f"{counts['failed']} failed + {counts['unavailable']} unavailable + "
        f"{counts['pending']} pending"
    )


def write_report_of(folder: Path, languages: tuple[str, ...] | None = None) -> Report:
    """Write the report of a run, and print where it is and what it found.

    Args:
        folder: of the run.
        languages: in which it is written; None: as the environment says.
    """
    from analysis.report import write_report
    from core.language.choice import languages_of

    reports = PROJECT / "analysis" / "reports"
    written = write_report(folder, reports, say_besides, languages or languages_of())
    say(f"Report: {written.index}")
    say(written.verdict)
    return written


def conclude(result: RunResult, *, log: bool) -> Report:
    """Write the report of a run, and the line of a finished one into the research log."""
    written = write_report_of(result.folder)

    def made() -> tuple[RunLink, RecordedLine]:
        from analysis.week.recorded import run_line
        from collect.diary.keep import RunLink

        line = run_line(result.folder, written.verdict)
        return RunLink(result.folder.name, written.index), line

    is_finished = not result.interrupted and not result.counts["pending"]
    record("run", made, wanted=log and is_finished)
    return written


def export_answers_of(folder: Path, file: str) -> None:
    """Write every question with every system's answer to a file, and print where."""
    from analysis.answers.export import export_answers

    say(f"Answers: {export_answers(folder, Path(file))}")
