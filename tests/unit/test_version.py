"""The version has one source, and `fab --version` prints it, with the commit of a checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.version import version

PROJECT = Path(__file__).resolve().parents[2]
GIT = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in a folder whose name has a blank, inside another project's checkout."""
    folder = tmp_path / "the project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[project]\nversion = "3.2.1"\n')
    subprocess.run([*GIT, "init", "-q", str(tmp_path)], check=True)
    commit(tmp_path)
    return folder


def commit(folder: Path) -> str:
    subprocess.run([*GIT, "add", "--all"], cwd=folder, check=True)
    subprocess.run([*GIT, "commit", "-qm", "x", "--allow-empty"], cwd=folder, check=True)
    argv = [*GIT, "rev-parse", "HEAD"]
    return subprocess.run(
        argv, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_without_a_checkout_the_version_is_the_release(project: Path) -> None:
    assert version(project) == "3.2.1"


def test_a_checkout_adds_its_commit_and_whether_files_differ(project: Path) -> None:
    subprocess.run([*GIT, "init", "-q", str(project)], check=True)
    made = commit(project)
    subprocess.run([*GIT, "tag", "-a", "v9", "-m", "x"], cwd=project, check=True)

    release, _, inside = version(project).partition(" (")
    assert release == "3.2.1"
    assert made.startswith(inside.removesuffix(")"))
    assert len(inside) >= len("1234567)")

    (project / "pyproject.toml").write_text('[project]\nversion = "3.2.2"\n')
    assert version(project) == f"3.2.2 ({inside.removesuffix(')')}-dirty)"


def test_without_git_the_version_is_the_release(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    assert version(project) == "3.2.1"


def test_the_changelog_begins_with_this_release() -> None:
    released = re.findall(
        r"^## \[?(\d\S*?)\]?(?: |$)", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert released[0] == version(PROJECT).partition(" ")[0]


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_fab_as_it_is_installed_prints_the_version(tmp_path: Path, flag: str) -> None:
    """`make` writes a `fab` that starts this project's, also from a folder with a blank."""
    folder = tmp_path / "the project"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "fabfile.py", "pyproject.toml"):
        shutil.copy(PROJECT / name, folder)
    shutil.copytree(PROJECT / "verbs", folder / "verbs")
    for name in ("core", "models", "experiments", "collect"):
        (folder / name).symlink_to(PROJECT / name)
    fab = folder / ".venv" / "bin" / "fab"
    fab.touch(mode=0o755)
    (folder / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / ".venv" / "bin" / "python").chmod(0o755)
    for name in ("requirements/base.txt", ".venv/base.stamp"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    subprocess.run(["make", "--silent", ".venv/fab.stamp"], cwd=folder, check=True)

    told = subprocess.run([str(fab), flag], check=True, capture_output=True, text=True, cwd="/")
    assert told.stdout == f"llama-herd {version(folder)}\n"
    listed = subprocess.run(
        [str(fab), "--help"],
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert listed.stdout.startswith("Usage: fab ")
