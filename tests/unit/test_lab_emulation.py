"""A machine whose kernel runs no arm64 programs says so, and only then are their tests skipped."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.lab.emulation import why_no_emulation

MODULES = Path(__file__).resolve().parents[2] / "roles" / "lab_host" / "module_utils"


def load(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, MODULES / f"{name}.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look for it there
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def emulation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module, on a machine without any registration."""
    monkeypatch.setitem(sys.modules, "ansible.module_utils.lab_podman", load("lab_podman"))
    module = load("lab_emulation")
    monkeypatch.setattr(module, "FOLDER", tmp_path / "binfmt_misc")
    monkeypatch.setattr(module, "RULE", tmp_path / "qemu-aarch64.conf")
    module.FOLDER.mkdir()
    return module


def refusal(emulation: ModuleType) -> str:
    with pytest.raises(emulation.LabError) as raised:
        emulation.register()
    return str(raised.value)


def as_ansible_prints(message: str) -> str:
    """A failed module; Ansible breaks the message where a line is full."""
    broken = message.replace(" (", "\n(", 1)
    return (
        "TASK [lab_host : Let this machine run arm64 programs] ***\n[ERROR]: Task failed: "
        f"Module failed: {broken}\nfatal: [localhost]: FAILED! => {{}}\n"
    )


def test_a_kernel_without_binfmt_misc_skips_with_its_words(
    emulation: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mount = tmp_path / "mount"
    mount.write_text("#!/bin/sh\necho 'mount: unknown filesystem type binfmt_misc' >&2\nexit 32\n")
    mount.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    reason = why_no_emulation(as_ansible_prints(refusal(emulation)))

    assert str(reason).startswith("[ERROR]: Task failed")
    assert "unknown filesystem type binfmt_misc" in str(reason)


def test_a_registration_that_the_kernel_refuses_skips(emulation: ModuleType) -> None:
    (emulation.FOLDER / "register").mkdir()  # nobody can write to it
    emulation.RULE.write_text(":qemu-aarch64:M:0:magic:mask:/usr/bin/qemu:PF\n")
    reason = why_no_emulation(as_ansible_prints(refusal(emulation)))
    assert "to be run by qemu-user: [Errno 21] Is a directory" in str(reason)


def test_a_machine_of_another_architecture_skips() -> None:
    said = "[ERROR]: Task failed: 1 of 2 nodes cannot be emulated (arm64). Only an amd64 machine\n"
    assert "Only an amd64 machine" in str(why_no_emulation(f"{said}emulates them, and …"))


def test_a_lab_that_fails_for_another_reason_fails_its_tests() -> None:
    assert why_no_emulation("[ERROR]: node emu2 did not boot within 120 s") is None


def test_the_registration_takes_its_rights_from_the_program(emulation: ModuleType) -> None:
    (emulation.FOLDER / "register").touch()
    emulation.RULE.write_text(":qemu-aarch64:M:0:magic:mask:/usr/bin/qemu:PF\n")
    assert emulation.register() is True
    written = (emulation.FOLDER / "register").read_text()
    assert written == ":llama-herd-arm64:M:0:magic:mask:/usr/bin/qemu:OCPF"


def test_a_rule_of_the_distribution_that_serves_is_used_as_it_is(emulation: ModuleType) -> None:
    (emulation.FOLDER / "register").touch()
    (emulation.FOLDER / "qemu-aarch64").write_text(f"enabled\nflags: POCF\n{emulation.MAGIC}\n")
    assert emulation.register() is False
