"""Verbs for what was measured: the ledger, the report, ratings, logs."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit

from core.errors import HerdError
from verbs.outcome import export_answers_of, print_status, write_report_of
from verbs.run_names import LATEST_RUN, RUN_HELP
from verbs.verb import JSON_HELP, PROJECT, say, say_json, verb


@verb(help={"run": LATEST_RUN, "json": JSON_HELP})
def status(_context: Context, run: str | None = None, json: bool = False) -> None:
    """Print the ledger of a run."""
    from collect.account import Account, Scrutiny
    from collect.sharing.marker import imported_lines
    from experiments.disk.ledger import find_run, reasons_of, status_of

    account = Account.read(find_run(PROJECT / "results", run), Scrutiny.RECORDS)
    if json:
        from experiments.disk.status import status_answer

        say_json(status_answer(account))
    else:
        print_status(status_of(account))
        for line in (*reasons_of(account), *imported_lines(account.folder)):
            say(line)


@verb(
    help={
        "last": "only so many of the latest runs (default: all)",
        "json": JSON_HELP,
    }
)
def history(_context: Context, last: str | None = None, json: bool = False) -> None:
    """List every run: its date, what it asked, what it found, its state. Changes nothing."""
    from experiments.disk.history import HistoryAnswer, history_lines, past_runs

    if last is not None and not (last.isdecimal() and int(last[:9]) > 0):
        raise HerdError(f"--last {last[:40]}: give a number of runs, such as --last 10.")
    found = past_runs(PROJECT / "results", PROJECT / "analysis" / "reports")
    found = found[-int(last[:9]) :] if last else found
    if json:
        say_json(HistoryAnswer(runs=tuple(found)))
        return
    if not found:
        say("There are no runs yet. `fab run-matrix` creates one.")
    for line in history_lines(found):
        say(line)


@verb(
    help={
        "run": LATEST_RUN,
        "export": "write only this text file: every question with every system's answer",
        "lang": "en, ko or both (default: what LLAMA_HERD_LANG says, else en)",
    }
)
def report(
    _context: Context, run: str | None = None, export: str | None = None, lang: str | None = None
) -> None:
    """Rebuild the report of a run from the data in results/."""
    from core.language.choice import languages_of
    from experiments.disk.ledger import find_run

    languages = languages_of(lang)
    folder = find_run(PROJECT / "results", run)
    if export:
        export_answers_of(folder, export)
    else:
        write_report_of(folder, languages)


@verb(
    help={
        "run": RUN_HELP.format(otherwise="the latest that asked questions"),
        "rater": "who rates (default: the name of the user)",
        "csv": "write an empty sheet to this file instead, to send to raters",
        "import": "store the scores from this filled-in sheet",
        "judge": "let this API from experiments/systems.yml compare every pair of answers",
        "max-cost": "what the judge may cost in total, in the currency of its price",
    }
)
def rate(
    _context: Context,
    run: str | None = None,
    rater: str | None = None,
    csv: str | None = None,
    import_: str | None = None,
    judge: str | None = None,
    max_cost: str | None = None,
) -> None:
    """Rate the answers of a run without knowing who gave them, on a local page or as CSV."""
    if sum(map(bool, (csv, import_, judge))) > 1:
        raise HerdError("Give only one of --csv (write a sheet), --import (read one) and --judge.")
    if max_cost and not judge:
        raise HerdError("--max-cost needs --judge: nothing else here costs money.")
    from experiments.rating.sheet import find_asked

    folder = find_asked(PROJECT / "results", run)
    if csv:
        from experiments.rating.spreadsheet import write_sheet

        sheet = write_sheet(folder, Path(csv), rater)
        say(f"{csv}: {sheet.size} answers to rate. Import it with: fab rate --import {csv}")
    elif import_:
        from experiments.rating.spreadsheet import read_sheet

        read = read_sheet(folder, Path(import_), rater)
        say(f"{read.rater} rated {read.answers} answers, {read.stored} of them new.")
    elif judge:
        from experiments.planning.money import parse_sum
        from experiments.rating.llm_judge import judge_answers

        judge_answers(folder, judge, say, parse_sum(max_cost))
    else:
        from experiments.rating.rate import serve_page

        serve_page(folder, rater, say)


@verb(
    positional=["file"],
    help={"file": "log of distributed-llama, of any version", "worker": "the log is a worker's"},
)
def parse_log(_context: Context, file: str, worker: bool = False) -> None:
    """Print a log of distributed-llama as JSON."""
    from collect.parsers.dllama_json import json_chunks
    from collect.parsers.dllama_source import NotALogError
    from core.terminal import say_json

    try:
        for chunk in json_chunks(Path(file), "worker" if worker else "root"):
            say_json(chunk)
    except NotALogError as error:
        from core.terminal import for_errors

        raise Exit(for_errors(str(error)), code=2) from None
