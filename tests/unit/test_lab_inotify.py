"""More nodes than the kernel lets watch files are refused before they start, with the remedy."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.test_lab_emulation import load


@pytest.fixture
def inotify(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module, on a machine that allows 40 instances and whose one process holds 10."""
    monkeypatch.setitem(sys.modules, "ansible.module_utils.lab_podman", load("lab_podman"))
    module = load("lab_inotify")
    monkeypatch.setattr(module, "PROC", tmp_path)
    setting = tmp_path / "sys" / "fs" / "inotify" / "max_user_instances"
    setting.parent.mkdir(parents=True)
    setting.write_text("40\n")
    process = tmp_path / "1" / "fd"
    process.mkdir(parents=True)
    for number in range(10):
        (process / str(number)).symlink_to("anon_inode:inotify")
    (process / "10").symlink_to("socket:[1]")
    return module


def test_as_many_nodes_as_fit_are_let_pass(inotify: ModuleType) -> None:
    inotify.refuse_too_many(5)


def test_more_are_refused_with_the_figures_and_the_remedy(inotify: ModuleType) -> None:
    told = r"6 more nodes .* 36 inotify .* 40 are 30 free.*fs\.inotify\.max_user_instances=1024"
    with pytest.raises(inotify.LabError, match=told):
        inotify.refuse_too_many(6)
