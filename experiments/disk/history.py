"""Every run: its date, question, verdict and state. Only reads; a damaged run is one line."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from collect.account import Account, Scrutiny
from collect.sharing.marker import imported_of
from collect.told import question_of, read_verdict
from core.errors import HerdError
from core.foreign import one_line
from core.json_answer import JsonAnswer, JsonPart
from experiments.disk.ledger import run_folders

RunState = Literal["complete", "unfinished", "nothing measured", "damaged"]
NO_REPORT = "no report of it: fab report --run {run}"
OUT_OF_DATE = " (before more was measured; now: fab report --run {run})"


class PastRun(JsonPart):
    """A run.

    Attributes:
        run: its name, which is that of its folder.
        state: `complete` if no trial is pending and some are done, `unfinished` if some are
            pending, `nothing measured` if none is done or pending, `damaged` if it cannot be read.
        created_at: Unix time in seconds; null if it cannot be read, as all below.
        question: what the matrix asked.
        engines: engines of its cells.
        models: models of its cells.
        verdict: what its report found; null without a report.
        is_current: whether the report is of all trials that are done.
        reason: why it cannot be read; null if it can.
        imported_from: archive that it was imported from; null if it was measured here.
    """

    run: str
    state: RunState
    created_at: float | None = None
    question: str | None = None
    engines: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    planned: int | None = None
    done: int | None = None
    failed: int | None = None
    unavailable: int | None = None
    pending: int | None = None
    verdict: str | None = None
    is_current: bool = False
    reason: str | None = None
    imported_from: str | None = None


class HistoryAnswer(JsonAnswer):
    """The runs in results/, oldest first; those that cannot be read come before all others."""

    runs: tuple[PastRun, ...]


def past_runs(results: Path, reports: Path) -> list[PastRun]:
    """Look at every run; changes nothing.

    Args:
        results: folder of all runs.
        reports: folder of their reports.

    Raises:
        HerdError: the folder of all runs cannot be read.
    """
    found = [_past(folder, reports / folder.name) for folder in run_folders(results)]
    return sorted(found, key=lambda one: (one.created_at or 0.0, one.run))


def _past(folder: Path, report: Path) -> PastRun:
    try:
        account = Account.read(folder, Scrutiny.RECORDS)
        mark = imported_of(folder)
    except HerdError as error:
        reason = one_line(str(error), 1000)
        return PastRun(run=one_line(folder.name), state="damaged", reason=reason)
    run, counts = account.manifest, account.counts()
    told = read_verdict(report, run.run)
    return PastRun(
        run=run.run,
        state=_state(counts["done"], counts["pending"]),
        created_at=run.created_at,
        question=question_of(run),
        engines=tuple(dict.fromkeys(str(cell.params["engine"]) for cell in run.cells)),
        models=tuple(dict.fromkeys(str(cell.params["model"]) for cell in run.cells)),
        verdict=told.verdict if told else None,
        is_current=told is not None and told.done == counts["done"],
        imported_from=mark.archive if mark else None,
        **counts,
    )


def _state(done: int, pending: int) -> RunState:
    if pending:
        return "unfinished"
    return "complete" if done else "nothing measured"


def history_lines(found: Sequence[PastRun]) -> Iterator[str]:
    """Say it, a few lines a run, the latest last."""
    for one in found:
        if one.created_at is None:
            yield f"{one.run}: damaged"
            yield f"  {one.reason}"
            continue
        date = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.created_at))
        yield f"{date}  {one.run}: {_state_words(one)}"
        yield f"  {one.question}"
        yield f"  {_verdict(one)}"


def _state_words(one: PastRun) -> str:
    rest = [f"{getattr(one, state)} {state}" for state in ("failed", "unavailable", "pending")]
    told = [f"{one.done} of {one.planned} done", *(each for each in rest if each[0] != "0")]
    told += [f"imported from {one.imported_from}"] if one.imported_from else []
    return f"{one.state}, {', '.join(told)}"


def _verdict(one: PastRun) -> str:
    if one.verdict is None:
        return NO_REPORT.format(run=one.run)
    old = "" if one.is_current else OUT_OF_DATE.format(run=one.run)
    return " ".join(one.verdict.split("\n")) + old
