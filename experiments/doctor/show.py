"""Findings for people, one screen a node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from core.foreign import visible
from core.terminal import shown, wrapped
from experiments.doctor.finding import Diagnosis, Finding, Severity

MARK_COLUMNS = 9
NARROWEST_SENTENCE = 30

MARKS = {
    Severity.OK: ("ok", "green"),
    Severity.WARNING: ("warning", "yellow"),
    Severity.PROBLEM: ("PROBLEM", "bold red"),
}


def show_diagnoses(diagnoses: Sequence[Diagnosis], console: Console) -> None:
    """Print the findings of each node and a last line that counts."""
    for diagnosis in diagnoses:
        answer = diagnosis.answer
        _print(console, shown(f"{answer.node}  {answer.address}", style="bold"))
        for line in _lines(diagnosis.findings, console.width):
            _print(console, line)
        console.print()
    problems, warnings = (
        sum(diagnosis.count(verdict) for diagnosis in diagnoses)
        for verdict in (Severity.PROBLEM, Severity.WARNING)
    )
    console.print(
        f"{_counted(len(diagnoses), 'node')}: {_counted(problems, 'problem')}, "
        f"{_counted(warnings, 'warning')}.",
        highlight=False,
    )


def _print(console: Console, line: Text) -> None:
    console.print(line, soft_wrap=True, highlight=False)  # its end is where it was put


def _lines(findings: Sequence[Finding], width: int) -> Iterator[Text]:
    """Verdict, subject and sentence next to each other; below the sentence its remedy."""
    subjects = max((cell_len(visible(finding.subject)) for finding in findings), default=0)
    room = max(width - MARK_COLUMNS - subjects - 2, NARROWEST_SENTENCE)
    subject = ""
    for finding in findings:
        mark, style = MARKS[finding.verdict]
        named = "" if finding.subject == subject else visible(finding.subject)
        subject = finding.subject
        before = shown(f"{mark:{MARK_COLUMNS}}", style=style)
        before.append(named + " " * (subjects + 2 - cell_len(named)))
        deeper = " " * cell_len(before.plain)
        for number, line in enumerate(wrapped(visible(finding.sentence), room).split("\n")):
            yield Text.assemble(deeper if number else before, line)
        if finding.remedy:
            for line in wrapped(f"→ {visible(finding.remedy)}", room).split("\n"):
                # A command that is longer than the room for it may have the whole width.
                yield shown(f"{deeper if cell_len(line) <= room else '  '}{line}", style="italic")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
