"""Whether a user can become root: what the probe sees of sudo, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.doctor.diagnose import diagnose
from experiments.doctor.finding import Finding, Severity
from experiments.doctor.probe.place import Place, ProgramResult
from experiments.doctor.probe.root import asks, root
from tests.doubles.doctor_facts import PC, answer, changed
from tests.doubles.doctor_place import HOME, prepared

HERE = {"user": "ada", "groups": ["ada"], "program": "/usr/bin/sudo"}
SUDOER = {**HERE, "groups": ["ada", "sudo"]}


def of_root(told: dict[str, Any], **known: str) -> Finding:
    """What is said of becoming root."""
    (diagnosis,) = diagnose([answer(changed(PC, root=told), "desk", **known)])
    (finding,) = [one for one in diagnosis.findings if one.subject == "root"]
    return finding


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"user": "root", "is_root": True}, "Logs in as root."),
        ({**HERE, "asks": "nothing"}, "root without a password"),
        ({**SUDOER, "asks": "password"}, "provision with -K"),
        ({**SUDOER, "asks": "nothing", "is_rs": True}, "root without a password"),
    ],
)
def test_who_can_become_root_is_told_so(told: dict[str, Any], words: str) -> None:
    finding = of_root(told)
    assert (finding.verdict, finding.remedy) == (Severity.OK, "")
    assert words in finding.sentence


RS = {**SUDOER, "asks": "password", "is_rs": True}


@pytest.mark.parametrize(
    ("told", "words", "remedy"),
    [
        (
            {**HERE, "program": None},
            "It has no sudo",
            "apt-get update && apt-get install -y sudo && usermod -aG sudo ada && ",
        ),
        (
            {**HERE, "program": None, "doas": True},
            "It has doas but no sudo",
            "--become-method community.general.doas -K",
        ),
        ({**RS, "sudo_ws": True}, "does not understand", "-e ansible_become_exe=sudo.ws"),
        (RS, "does not understand", "sudo apt-get install -y sudo"),
        ({**HERE, "asks": "terminal"}, "requires a terminal (requiretty)", "!requiretty"),
        ({**HERE, "asks": "silent"}, "did not answer within 10 s", "/etc/nsswitch.conf"),
        (
            {**HERE, "asks": "silent", "own_name_known": False},
            "did not answer within 10 s",
            "echo 127.0.1.1 $(hostname) | sudo tee -a /etc/hosts",
        ),
        (
            {**HERE, "asks": "refused", "says": "ada is not in the sudoers file."},
            "does not make this account root: ada is not in the sudoers file.",
            "usermod -aG sudo ada",
        ),
        ({**SUDOER, "setuid": False}, "is not setuid root", "chmod 4755 /usr/bin/sudo"),
        ({**SUDOER, "new_privileges": False}, "no_new_privs", "where the container is created"),
    ],
)
def test_what_keeps_from_becoming_root_is_a_problem_with_what_helps(
    told: dict[str, Any], words: str, remedy: str
) -> None:
    finding = of_root(told)
    assert finding.verdict is Severity.PROBLEM
    assert words in finding.sentence
    assert remedy in finding.remedy


def test_a_password_of_somebody_in_no_such_group_is_in_doubt() -> None:
    finding = of_root({**HERE, "asks": "password"})
    assert finding.verdict is Severity.WARNING
    assert "ada is in none of the groups" in finding.sentence


def test_another_way_of_the_inventory_is_told_as_not_tried() -> None:
    finding = of_root({**HERE, "program": None}, become_method="su")
    assert finding.verdict is Severity.OK
    assert "with su, which was not tested" in finding.sentence


def test_a_program_of_the_inventory_that_is_not_there_is_named() -> None:
    finding = of_root({**HERE, "program": None}, become_exe="/opt/sudo")
    assert finding.sentence.startswith("/opt/sudo does not exist")


def test_a_slow_sudo_is_a_warning_of_its_own() -> None:
    told = changed(PC, root={**HERE, "asks": "nothing", "seconds": 8.0})
    (diagnosis,) = diagnose([answer(told, "desk")])
    _, slow = [one for one in diagnosis.findings if one.subject == "root"]
    assert slow.verdict is Severity.WARNING
    assert "took 8 s" in slow.sentence


@pytest.mark.parametrize(
    ("said", "wants"),
    [
        (ProgramResult(0), "nothing"),
        (ProgramResult(None), "silent"),
        (ProgramResult(1, "", "sudo: a password is required"), "password"),
        (ProgramResult(1, "", "sudo: interactive authentication is required"), "password"),
        (
            ProgramResult(1, "", "sudo: unable to resolve host pi\nsudo: a password is required"),
            "password",
        ),
        (ProgramResult(1, "", "sudo: sorry, you must have a tty to run sudo"), "terminal"),
        (ProgramResult(1, "", "/etc/sudoers:27:9: syntax error"), "refused"),
        (ProgramResult(1, "", ""), "refused"),
    ],
)
def test_sudo_is_understood_by_its_end_and_by_its_words_in_the_c_locale(
    said: ProgramResult, wants: str
) -> None:
    assert asks(said) == wants


def test_a_user_who_is_not_root_asks_sudo_in_the_c_locale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getuid", lambda: 65534)
    asked = []

    def run(argv: list[str], environment: dict[str, str], _seconds: float) -> ProgramResult:
        asked.append((argv, environment["LC_ALL"]))
        if argv[1] == "--version":
            return ProgramResult(0, "sudo-rs 0.2.8")
        return ProgramResult(1, "", "sudo: interactive authentication is required")

    prepared(tmp_path, {"/usr/bin/sudo": "#!/bin/sh\n", "/usr/bin/sudo.ws": "#!/bin/sh\n"})
    told = root(Place(root=tmp_path, home=HOME, run=run), "sudo")

    assert (told["asks"], told["is_rs"], told["sudo_ws"]) == ("password", True, True)
    assert (["sudo", "-k", "-n", "true"], "C") in asked


def test_where_there_is_no_sudo_nothing_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getuid", lambda: 65534)
    told = root(prepared(tmp_path, {"/usr/bin/doas": "#!/bin/sh\n"}), "sudo")
    assert (told["program"], told["doas"]) == (None, True)
    assert "asks" not in told
