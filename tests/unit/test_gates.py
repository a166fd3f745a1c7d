"""No program of this project is passed over by the linters: this names each that none sees."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from core.paths import PROJECT_FOLDER as PROJECT

LIB = "roles/lab_host/files"
NO_PROGRAMS = {
    *(".ansible-lint", ".gitignore", "LICENSE", "Makefile", "tests/doubles/dllama_source/Makefile"),
    *(f"{LIB}/node/Containerfile", f"{LIB}/node/etc/sudoers.d/pi", f"{LIB}/vulkan/Containerfile"),
    *(f"{LIB}/arm64/etc/environment", f"{LIB}/arm64/etc/sudoers.d/emulated"),
    f"{LIB}/raspberry-pi-4/cpuinfo",
    *(f"{LIB}/raspberry-pi-4/firmware/devicetree/base/{name}" for name in ("compatible", "model")),
}
"""Files without a suffix that are none. A program has a suffix, by which its linter finds it."""
MAKEFILE = (PROJECT / "Makefile").read_text()


@pytest.fixture(scope="module")
def files() -> list[str]:
    """All files of the project but links, below its folder."""
    if not (PROJECT / ".git").exists():
        pytest.skip("only a checkout knows which files are the project's")
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(listing, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    paths = (PROJECT / name for name in told.split("\0") if name)
    real = (path for path in paths if path.is_file() and not path.is_symlink())
    return sorted(path.relative_to(PROJECT).as_posix() for path in real)


def seen_by_shellcheck() -> set[str]:
    """What the command of `make lint` finds."""
    (command,) = re.findall(r"^\tfind (.*) -exec shellcheck {} \+$", MAKEFILE, re.MULTILINE)
    told = subprocess.run(
        ["sh", "-c", f"find {command}"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return set(told.stdout.split())


def seen_by_ruff() -> set[str]:
    told = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--show-files", "."],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {Path(line).relative_to(PROJECT).as_posix() for line in told.stdout.splitlines()}


def seen_by_mypy() -> set[str]:
    """What `files` of its settings names: folders with all that is in them, and patterns."""
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert "exclude" not in settings
    named = (path for pattern in settings["files"] for path in PROJECT.glob(pattern))
    found = (one for path in named for one in (path.rglob("*.py") if path.is_dir() else [path]))
    return {path.relative_to(PROJECT).as_posix() for path in found}


def test_ruff_sees_all_of_python(files: list[str]) -> None:
    assert {name for name in files if name.endswith(".py")} - seen_by_ruff() == set()


def test_mypy_sees_all_of_python_but_the_tests(files: list[str]) -> None:
    python = {name for name in files if name.endswith(".py") and not name.startswith("tests/")}
    assert python - seen_by_mypy() == set()


def test_mypy_looks_at_each_program_of_nodes_as_what_their_python_can_run() -> None:
    targets = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["ruff"]
    wanted = {
        path
        for pattern, version in targets["per-file-target-version"].items()
        if version == "py39"
        for path in PROJECT.glob(pattern)
    }
    (named,) = re.findall(r"^NODE_PROGRAMS := ((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)
    looked_at = [PROJECT / name for name in named.replace("\\", " ").split()]
    missed = {
        path for path in wanted if not any(path == one or one in path.parents for one in looked_at)
    }
    assert missed == set()
    assert all(path.exists() for path in looked_at)


def test_shellcheck_sees_all_of_the_shells_programs(files: list[str]) -> None:
    assert {name for name in files if name.endswith(".sh")} - seen_by_shellcheck() == set()


def test_no_program_hides_from_them_behind_another_name(files: list[str]) -> None:
    linted = seen_by_shellcheck()
    hidden = []
    for name in files:
        path = PROJECT / name
        if path.suffix in (".py", ".sh") or name in linted:
            continue
        starts = path.open("rb").read(2) == b"#!" or path.stat().st_mode & 0o111
        if starts or (not path.suffix and name not in NO_PROGRAMS):
            hidden.append(name)
    assert hidden == []
