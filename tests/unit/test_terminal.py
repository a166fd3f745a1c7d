"""What engines, APIs, nodes and files say is printed as it stands, and acts on no terminal."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from invoke import Context
from invoke.exceptions import Exit
from rich.console import Console

from core.errors import HerdError
from core.foreign import visible
from core.progress import StderrReporter
from core.terminal import complain, say_json, say_text
from experiments.doctor.finding import Diagnosis, Finding, NodeAnswer, Severity
from experiments.doctor.show import show_diagnoses
from experiments.sessions.progress import Progress, RunningTrial, make_progress
from verbs.verb import verb

COUNTS = {"planned": 1, "done": 0, "failed": 0, "unavailable": 0, "pending": 1}
HOSTILE = [
    "chat template: [INST] … [/INST]",
    "[bold red]loud[/bold red] [/]",
    "[link=https://example.org]click[/link]",
    "a :warning: and :pile_of_poo:",
    "\x1b]0;title\x07\x1b[2J\x1b[Hnothing was measured",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x1b]8;;https://example.org\x1b\\click\x1b]8;;\x1b\\",
    "\x9b2J and \x90q\x9c",
    "over\rwritten \b\b\b",
    "right\u202eto left\u2066",
    "line\u2028separator",
    "half a \ud800 character",
    "nul \0 bell \a",
]
ACTING = ("\x1b]", "\x1b[2J", "\x9b", "\x90", "\b", "\0", "\a", "\u202e", "\u2066", "\u2028")


def all_said(progress: Progress, text: str) -> None:
    progress.begin(text, COUNTS, None)
    progress.step(RunningTrial(text, trial=1, trials=1, attempt=2))
    progress.note(text)
    progress.settled(COUNTS, None)
    progress.end()


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("terminal", [True, False])
def test_a_runs_display_shows_what_was_said(
    text: str,
    terminal: bool,  # noqa: FBT001
) -> None:
    output = StringIO()

    all_said(make_progress(Console(file=output, force_terminal=terminal, width=300)), text)

    printed = output.getvalue()
    assert not [sign for sign in ACTING if sign in printed]
    printed.encode()
    if text.startswith("["):
        assert text in printed


@pytest.mark.parametrize("text", HOSTILE)
def test_the_doctor_shows_what_was_said(text: str) -> None:
    output = StringIO()
    finding = Finding(text, Severity.PROBLEM, text, text)

    show_diagnoses(
        [Diagnosis(NodeAnswer(text, text, text), [finding])],
        Console(file=output, force_terminal=True, width=300),
    )

    printed = output.getvalue()
    assert not [sign for sign in ACTING if sign in printed]
    assert visible(text) in printed


@pytest.mark.parametrize("text", HOSTILE)
def test_lines_and_complaints_show_what_was_said(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say_text(text)
    complain(text)
    StderrReporter().note(text)

    out, err = capsys.readouterr()
    assert out + out == err
    assert not [sign for sign in ACTING if sign in out]


@pytest.mark.parametrize("text", HOSTILE)
def test_json_means_the_same_and_acts_on_nothing(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say_json(json.dumps({"said": text}, ensure_ascii=False))

    out = capsys.readouterr().out
    assert json.loads(out) == {"said": text}
    assert not [sign for sign in ACTING if sign in out]


@pytest.mark.parametrize("text", HOSTILE)
def test_an_error_that_ends_a_verb_shows_what_was_said(text: str) -> None:
    @verb()
    def failing(_context: Context) -> None:
        """Fail."""
        raise HerdError(text)

    with pytest.raises(Exit) as caught:
        failing(Context())

    assert not [sign for sign in ACTING if sign in str(caught.value.message)]
