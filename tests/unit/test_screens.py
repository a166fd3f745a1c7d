"""Every screen fits a terminal of eighty columns, a wider one is used, and commands stay whole."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from invoke import Context
from rich.cells import cell_len
from rich.console import Console

from core import terminal
from core.terminal import say_text, wrapped
from experiments.doctor.finding import Diagnosis, Finding, NodeAnswer, Severity
from experiments.doctor.show import show_diagnoses
from experiments.fleet import lab
from experiments.fleet.lab import LabNode
from experiments.nodes.facts import ask_facts
from experiments.planning.describe import describe
from experiments.planning.plan import make_plan
from experiments.sessions.progress import RunningTrial, make_progress
from models.catalogue import load_catalogue
from models.listing import models_table
from tests.doubles.on_terminal import on_terminal
from tests.doubles.scripted import ScriptedLauncher, cluster
from tests.doubles.scripted_run import matrix, world
from verbs.lab import lab_status
from verbs.outcome import print_status

PROJECT = Path(__file__).resolve().parents[2]
FAB = str(Path(sys.executable).with_name("fab"))
LONG = (
    "ansible-playbook -i inventory/the-fleet-below-the-stairs.yml provision.yml -K "
    "--tags petals --limit pi3 -e herd_petals=true"
)
COUNTS = {"planned": 1280, "done": 1103, "failed": 101, "unavailable": 12, "pending": 64}
Print = Callable[[int], None]


@pytest.fixture
def printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Print, int], list[str]]:
    def at(screen: Print, width: int) -> list[str]:
        monkeypatch.setattr(terminal, "width_of", lambda _stream: width)
        capsys.readouterr()
        screen(width)
        return [line.rstrip() for line in plain(capsys.readouterr().out).splitlines()]

    return at


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def the_doctor(width: int) -> None:
    sentence = "WSL's networking is nat: it hides this node, and no engine port is forwarded to it."
    remedy = f"What the root lacks comes with: {LONG}, then again: fab doctor --limit pi3."
    findings = [
        Finding("machine", Severity.OK, f"{sentence} {sentence}"),
        Finding("resources", Severity.PROBLEM, sentence, remedy),
        Finding("resources", Severity.WARNING, "라마가 " * 30, "Wait."),
    ]
    show_diagnoses(
        [Diagnosis(NodeAnswer("pi1", "192.0.2.1", "192.0.2.1"), findings)], Console(width=width)
    )


def the_models(width: int) -> None:
    Console(width=width).print(models_table(load_catalogue()))


def the_lab(_width: int) -> None:
    lab_status(Context())


def a_status(_width: int) -> None:
    print_status({"run": "scaling-of-eight-nodes-20260131-101530", **COUNTS})


def a_live_run(width: int) -> None:
    progress = make_progress(Console(width=width, force_terminal=True))
    progress.begin("scaling-of-eight-nodes-20260131-101530", COUNTS, 36_000.0)
    cell = "distributed-llama llama3.1-8b-instruct q4_0 16 nodes workers kept"
    progress.step(RunningTrial(cell, trial=1204, trials=1280, attempt=2))
    progress.live(1234.5)
    progress.note(f"pi3 does not answer, which is told at some length. Provision it: {LONG}")
    progress.settled(COUNTS, 35_990.0)
    progress.end()


@pytest.fixture
def a_plan(tmp_path: Path) -> Print:
    asked = ask_facts(cluster(3), ScriptedLauncher(world(tmp_path)))
    lines = describe(make_plan(matrix(), asked, tmp_path / "results"))
    return lambda _width: [say_text(line) for line in lines] and None


@pytest.mark.parametrize("screen", [the_doctor, the_models, the_lab, a_status, a_live_run, None])
def test_a_screen_fits_eighty_columns_and_uses_more(
    screen: Print | None,
    printed: Callable[[Print, int], list[str]],
    a_plan: Print,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = LabNode(
        "pi16",
        "10.77.0.116",
        "missing",
        1000,
        "2048 MiB",
        0.25,
        "amd64",
        "bookworm",
        is_emulated=True,
    )
    monkeypatch.setattr(lab, "lab_status", lambda: [node])

    narrow, wide = (printed(screen or a_plan, width) for width in (80, 132))

    assert narrow
    # A command and a single word, such as a model's name, can be copied as they are.
    over = [line for line in narrow if cell_len(line) > 80]
    assert all(LONG in line or " " not in line.strip() for line in over), over
    assert max(map(cell_len, wide)) <= max(
        132, *(cell_len(line) for line in wide if LONG in line), 0
    )
    assert len(wide) <= len(narrow)
    # Nothing is left out: both have the same words, whatever their frames.
    assert re.findall(r"\w+", " ".join(narrow)) == re.findall(r"\w+", " ".join(wide)) or (
        screen in (the_models, a_live_run)
    )
    if screen in (the_doctor, a_live_run):
        assert any(LONG in line for line in narrow)


@pytest.mark.parametrize(
    "words", [["--list"], ["--help", "run-matrix"], ["models"], ["status", "--run", "x" * 30]]
)
def test_fab_itself_keeps_to_the_terminal(words: list[str]) -> None:
    narrow, wide = (
        plain(on_terminal([FAB, *words], PROJECT, columns=columns)).splitlines()
        for columns in (80, 140)
    )

    assert max(map(cell_len, narrow)) <= 80
    assert max(map(cell_len, wide)) > 80 or len(wide) <= len(narrow)


def test_what_is_read_by_programs_has_whole_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say_text("word " * 100)

    assert capsys.readouterr().out == "word " * 100 + "\n"


@pytest.mark.parametrize(
    "command",
    [
        "fab lab-up --nodes 8",
        "ssh-keyscan -p 2222 192.0.2.1 >> inventory/known_hosts",
        "ANSIBLE_CONFIG=ansible.cfg ansible-playbook -i inventory/home.yml provision.yml -K",
        "sudo systemctl restart llama-herd-firewall.service",
        "`make setup && source .venv/bin/activate`",
        "export ANSIBLE_CONFIG=/home/ada/llama-herd/ansible.cfg",
        ".venv/bin/fab plan --nodes 1,2,4",
        "wsl --shutdown",
        LONG,
    ],
)
@pytest.mark.parametrize("before", range(1, 80, 7))
def test_a_command_is_never_parted(command: str, before: int) -> None:
    text = f"{'x' * before} then: {command}; and then some more words that say why this helps."

    lines = wrapped(text, 80).split("\n")

    assert any(command in line for line in lines)
    assert " ".join(lines) == text
    assert all(cell_len(line) <= 80 or command in line for line in lines)


def test_lines_end_at_words_and_what_is_set_in_stays_so() -> None:
    text = f"Cells that cannot run:\n  4 nodes: {'a reason that takes its time ' * 4}\n\n  end"

    lines = wrapped(text, 40).split("\n")

    assert lines[0] == "Cells that cannot run:"
    assert lines[-2:] == ["", "  end"]
    assert lines[1].startswith("  4 nodes: ")
    assert all(line.startswith("    ") for line in lines[2:-2])
    assert {word for line in lines for word in line.split()} == set(text.split())
    assert wrapped("y" * 100, 40) == "y" * 100
    assert wrapped(text, None) == text
