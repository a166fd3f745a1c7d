"""The verb of the research log, and the lines that runs add to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from invoke.context import Context

from core.errors import HerdError
from verbs.bare_words import BareWords
from verbs.run_names import SHOWN
from verbs.verb import JSON_HELP, PROJECT, say, say_besides, say_json, verb

if TYPE_CHECKING:
    from datetime import date

    from analysis.week.recorded import RecordedLine
    from collect.diary.file import LogFile
    from collect.diary.keep import RunLink

SWITCH = "LLAMA_HERD_LOG"
"""`off`: runs add no lines to the log."""
LOG_HELP = f"add the run's line to the research log; --no-log, or {SWITCH}=off, adds none"
FLAGS = {
    "today": ("day",),
    "goal": ("week", "final", "intermediate", "by"),
    "question": ("day",),
    "finding": ("run", "day"),
    "done": ("day",),
    "show": ("week", "day", "json"),
    "run": ("run",),
    "report": ("week",),
}
"""What `fab log` can do, and the flags of each; all have --study and --lang."""


def _is_week(word: str) -> bool:
    from collect.diary.dates import is_week

    return is_week(word)


def _is_day(word: str) -> bool:
    from collect.diary.dates import is_day

    return is_day(word)


WORDS = BareWords(
    "--word", {"--week": (_is_week, "this"), "--day": (_is_day, "today")}, are_text=True
)


@verb(
    help={
        "word": "bare words after `log`: what to do, then the text, the numbers or the name",
        "week": "this week's, or with a value that one's: 2026-W48, W48, next, last",
        "final": "a final goal",
        "intermediate": "an intermediate goal",
        "by": "day by which a goal is to be reached, such as 2026-12-18",
        "day": "another day than today, such as 2026-11-25 or yesterday",
        "run": "a run that shows the finding; may be given several times. Or the run of `log run`",
        "json": JSON_HELP,
        "study": "folder of the study (default: LLAMA_HERD_STUDY, or study/)",
        "lang": "language of a new log, or of a page: en, ko or both (default: LLAMA_HERD_LANG)",
    },
    iterable=["word", "run"],
)
def log(
    _context: Context,
    word: list[str] | None = None,
    week: str | None = None,
    final: bool = False,
    intermediate: bool = False,
    by: str | None = None,
    day: str | None = None,
    run: list[str] | None = None,
    json: bool = False,
    study: str | None = None,
    lang: str | None = None,
) -> None:
    """Keep a log: today "…", goal "…", question "…", finding "…", done N, show, report, run."""
    from datetime import datetime

    from collect.diary.dates import asked_day
    from collect.diary.keep import add_entry, add_finding, add_question, finish, said, task_numbers
    from collect.diary.show import task_line

    what, *words = word or ["show"]
    given = {"week": week, "final": final, "intermediate": intermediate, "by": by, "day": day}
    _require_flags(what, {**given, "run": run, "json": json})
    file = log_file(study, lang)
    now = datetime.now().astimezone()
    chosen = asked_day(day, now.date()) if day else now.date()
    if what == "today":
        clock = f"{now:%H:%M}" if chosen == now.date() else ""
        add_entry(file, said(words, what), chosen, clock)
        say(f"{file.path}: written below {chosen}.")
    elif what == "goal":
        _set_goal(file, words, given, now.date())
    elif what == "question":
        asked = add_question(file, said(words, what), chosen)
        say(f"{file.path}: {task_line(asked, now.date())}")
    elif what == "finding":
        add_finding(file, said(words, what), [_link_of(name) for name in run or ()], chosen)
        say(f"{file.path}: written below the findings.")
    elif what == "done":
        for task in finish(file, task_numbers(words), chosen):
            say(task_line(task, now.date()))
    elif what == "run":
        _record_again(file, [*words, *(run or ())])
    elif what == "report":
        _report(file, week, lang)
    else:
        _show(file, words, week, day, as_json=json)


def _require_flags(what: str, given: Mapping[str, object]) -> None:
    if what not in FLAGS:
        raise HerdError(f"fab log {what}: write one of {', '.join(FLAGS)} behind `fab log`.")
    for name, value in given.items():
        if value and name not in FLAGS[what]:
            fit = [one for one, flags in FLAGS.items() if name in flags]
            raise HerdError(f"fab log {what} has no --{name}; it is for {', '.join(fit)}.")


def log_file(study: str | None, lang: str | None = None) -> LogFile:
    """The log of the study that a command line or the environment names."""
    from collect.diary.file import LogFile
    from core.language.choice import languages_of
    from core.paths import study_folder

    return LogFile(study_folder(study), languages_of(lang)[0])


def _set_goal(file: LogFile, words: list[str], given: Mapping[str, object], today: date) -> None:
    from collect.diary.keep import add_goal, said, wish_of
    from collect.diary.show import task_line

    wish = wish_of(
        said(words, "goal"),
        week=str(given["week"]) if given["week"] else None,
        is_final=bool(given["final"]),
        is_intermediate=bool(given["intermediate"]),
        by=str(given["by"]) if given["by"] else None,
        today=today,
    )
    say(f"{file.path}: {task_line(add_goal(file, wish, today), today)}")


def _show(
    file: LogFile, words: list[str], week: str | None, day: str | None, *, as_json: bool
) -> None:
    from datetime import datetime

    from collect.diary.dates import asked_day, asked_week
    from collect.diary.log_answer import log_answer
    from collect.diary.show import day_lines, week_lines
    from collect.diary.week import week_of_log

    if words:
        raise HerdError(
            f"fab log show {' '.join(words)}: give --week 2026-W48 or --day 2026-11-25."
        )
    if day and (week or as_json):
        raise HerdError("fab log show: give --day alone, or --week with or without --json.")
    today = datetime.now().astimezone().date()
    read = file.read()
    found = week_of_log(read, asked_week(week or "this", today))
    if as_json:
        say_json(log_answer(str(file.path), found, read.wrong))
        return
    for line in day_lines(read, asked_day(day, today)) if day else week_lines(found, today):
        say(line)
    for line in read.wrong:
        say_besides(line)


def _report(file: LogFile, week: str | None, lang: str | None) -> None:
    """Write the page of a week, in the language of the log if no other one is asked for."""
    from datetime import datetime

    from analysis.text.sentence import verbatim
    from analysis.week.page import week_sections
    from analysis.week.runs_of_week import runs_in_week, runs_of_week
    from analysis.week.write import write_week_page
    from collect.diary.dates import asked_week
    from collect.diary.week import title_of_log, week_of_log
    from core.language.choice import VARIABLE, languages_of
    from experiments.disk.ledger import plans

    today = datetime.now().astimezone().date()
    read, chosen = file.read(), asked_week(week or "this", today)
    folders = runs_in_week(plans(PROJECT / "results"), chosen)
    sections = list(week_sections(week_of_log(read, chosen), runs_of_week(folders), today))
    languages = (
        languages_of(lang) if lang or os.environ.get(VARIABLE) else (file.language_of(read),)
    )
    title = verbatim(title_of_log(read)) if title_of_log(read) else "Research log"
    page = write_week_page(file.folder, title, str(chosen), sections, say_besides, languages)
    say(f"Week: {page}")
    for line in read.wrong:
        say_besides(line)


def _link_of(run: str) -> RunLink:
    from collect.diary.keep import RunLink
    from experiments.disk.ledger import find_run

    folder = find_run(PROJECT / "results", run)
    return RunLink(folder.name, PROJECT / "analysis" / "reports" / folder.name / "index.html")


def _record_again(file: LogFile, words: list[str]) -> None:
    """Add the line of a run that has none: the latest, or the one that is named."""
    from analysis.reading import study_in
    from analysis.week.recorded import run_line
    from collect.diary.keep import add_run
    from core.foreign import one_line
    from core.language.choice import speaking
    from experiments.disk.ledger import find_run

    if len(words) > 1:
        shown = ", ".join(one_line(word, SHOWN) for word in words)
        raise HerdError(f"fab log run: give the name of one run; these are {len(words)}: {shown}.")
    folder = find_run(PROJECT / "results", *words)
    with speaking(file.language_now()):
        line = run_line(folder, study_in(folder).verdict.spoken)
    is_new = add_run(file, _link_of(folder.name), "run", line.text, line.moment)
    say(f"{file.path}: {folder.name} {'was added' if is_new else 'has its line already'}.")


def record(label: str, make: Callable[[], tuple[RunLink, RecordedLine]], *, wanted: bool) -> None:
    """Add the line of something that was measured; nothing that goes wrong here costs more.

    Args:
        label: what it is: `run`, `tuning` or `model`.
        make: makes its name and its line.
        wanted: false after `--no-log`.
    """
    if not wanted or os.environ.get(SWITCH, "").strip().lower() in ("off", "0", "no", "false"):
        return
    try:
        from collect.diary.keep import add_run
        from core.language.choice import speaking

        file = log_file(None)
        with speaking(file.language_now()):
            link, line = make()
        if add_run(file, link, label, line.text, line.moment):
            say_besides(f"Research log: {file.path}")
    except KeyboardInterrupt:
        say_besides("The research log was not written: it was interrupted. All else is complete.")
    except Exception as error:  # noqa: BLE001 - a log must never cost a run
        say_besides(f"The research log was not written, all else is complete. {error}")
