"""Nodes with other login shells, or without a Python: each is told for what it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.doctor.ask import UnfitFactsError, ask_nodes, run_probe
from experiments.doctor.diagnose import diagnose
from experiments.doctor.finding import Finding, Severity
from experiments.doctor.program import COMMAND, program
from experiments.fleet.cluster import Node, SshSettings
from tests.doubles.doctor_facts import PC, answer, changed

HERE = Node(name="desk", address="127.0.0.1", engine_address="127.0.0.1", connection="local")


def node_with(path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Finding:
    """What is found of this machine when its programs are those of a folder alone."""
    monkeypatch.setenv("PATH", path)
    (told,) = ask_nodes([HERE], tmp_path, deep=False)
    assert told.silence is not None
    return told.silence


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with a shell and little more, as the whole search path."""
    (folder := tmp_path / "bin").mkdir()
    for name in ("sh", "id", "getent"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


def python(folder: Path, text: str) -> None:
    (program := folder / "python3").write_text(text)
    program.chmod(0o755)


def test_a_node_without_python_is_told_so_whatever_its_shell_says(
    programs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = node_with(str(programs), monkeypatch, tmp_path)
    assert (found.verdict, found.subject) == (Severity.PROBLEM, "connection")
    assert found.sentence.startswith("It has no Python 3")


def test_an_old_python_is_named(
    programs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python(programs, "#!/bin/sh\necho llama-herd-doctor old 3.6\n")
    found = node_with(str(programs), monkeypatch, tmp_path)
    assert found.sentence == "Its Python is 3.6, but provisioning needs 3.9 or newer."


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("echo 'python3: 없음' >&2; exit 1", "with status 1 (python3: 없음)"),
        ("echo 'Illegal instruction' >&2; exit 132", "with status 132"),
    ],
)
def test_a_python_that_fails_is_told_with_its_end_and_its_last_words(
    programs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, words: str
) -> None:
    python(programs, f"#!/bin/sh\n{says}\n")
    found = node_with(str(programs), monkeypatch, tmp_path)
    assert words in found.sentence
    assert found.remedy.endswith(" -m raw -a 'python3 --version'")


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "rbash", "fish", "tcsh", "zsh", "ksh"])
def test_every_shell_starts_the_probe(shell: str) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [found, "-c", f"echo before; {COMMAND}"],
        input=program("127.0.0.1", [], deep=False),
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "HOME": "/nonexistent"},
    )
    assert done.stdout.startswith(b"before\nllama-herd-doctor ready\n"), done.stderr


class Pipe:
    """A node that says one line."""

    def __init__(self, line: bytes) -> None:
        self._line = line

    def sendall(self, data: bytes) -> None:
        """Hear nothing."""

    def settimeout(self, seconds: float) -> None:
        """Never wait."""

    def recv(self, most_bytes: int) -> bytes:
        """The line, whole."""
        return self._line[:most_bytes]


@pytest.mark.parametrize("said", ["none alpine", "none ", "old 3.5"])
def test_what_a_node_says_instead_of_ready_ends_the_conversation(said: str) -> None:
    with pytest.raises(UnfitFactsError, match=f"^{said}$"):
        run_probe(Pipe(f"llama-herd-doctor {said}\n".encode()), b"", 5)


def of(shell: str) -> list[Finding]:
    told = changed(PC, root={"user": "ada", "is_root": True, "shell": shell})
    (diagnosis,) = diagnose([answer(told, "desk")])
    return [one for one in diagnosis.findings if one.verdict is not Severity.OK]


@pytest.mark.parametrize("shell", ["/bin/bash", "/usr/bin/fish", "/usr/bin/zsh", "/bin/sh"])
def test_a_shell_through_which_ansible_works_is_right(shell: str) -> None:
    assert of(shell) == []


@pytest.mark.parametrize(
    ("shell", "words", "remedy"),
    [
        (
            "/bin/rbash",
            "does not start a program by its path",
            "sudo usermod --shell /bin/bash ada",
        ),
        ("/bin/tcsh", "a quoted command of several lines", "usermod --shell /bin/bash ada"),
    ],
)
def test_a_shell_through_which_ansible_does_not_work_is_named(
    shell: str, words: str, remedy: str
) -> None:
    (finding,) = of(shell)
    assert finding.verdict is Severity.PROBLEM
    assert words in finding.sentence
    assert remedy in finding.remedy


def test_a_shell_that_prints_by_itself_is_a_warning() -> None:
    told = replace(answer(PC, "desk"), noise="Welcome")
    (diagnosis,) = diagnose([told])
    (finding,) = [one for one in diagnosis.findings if one.verdict is not Severity.OK]
    assert "prints text in non-interactive sessions (`Welcome`)" in finding.sentence


@pytest.mark.parametrize(
    "answers",
    [
        r"printf 'llama-herd-is-in; sh -c \"…\"\r\n'",  # cmd prints the whole line
        r"printf 'llama-herd-is-in\r\n'; echo 'sh : CommandNotFoundException' >&2; exit 1",
    ],
)
def test_a_windows_machine_is_named_with_the_group_that_it_belongs_to(
    tmp_path: Path, answers: str
) -> None:
    (program := tmp_path / "ssh").write_text(
        f'#!/bin/sh\ncase " $* " in *" -G "*) exec /usr/bin/ssh "$@" ;; esac\n{answers}\n'
    )
    program.chmod(0o755)
    (tmp_path / "known_hosts").touch()
    laptop = Node(
        name="laptop",
        address="192.0.2.30",
        engine_address="192.0.2.30",
        known_hosts=str(tmp_path / "known_hosts"),
        ssh=SshSettings(executable=str(program)),
    )

    (told,) = ask_nodes([laptop], tmp_path, deep=False)

    assert told.silence is not None
    assert told.silence.sentence.endswith("login works, but it is a Windows machine.")
    assert "windows_hosts" in told.silence.remedy
