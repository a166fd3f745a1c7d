"""What the controller makes of Petals for nodes: packages that stay, programs that change."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FILES = Path(__file__).resolve().parents[2] / "roles/petals/files"
PYTHON = "/usr/bin/python3.11"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the role's files, from which the bundler is imported."""
    copy = tmp_path / "files"
    shutil.copytree(FILES, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(str(copy))
    yield copy
    for name in ("petals_bundle", "petals_environment"):
        sys.modules.pop(name, None)


@pytest.fixture
def bundle(files: Path) -> ModuleType:
    return importlib.import_module("petals_bundle")


@pytest.fixture
def environment(files: Path) -> ModuleType:
    return importlib.import_module("petals_environment")


def test_an_architecture_without_wheels_is_refused_with_what_there_is(
    environment: ModuleType,
) -> None:
    with pytest.raises(environment.BundleError, match=r"armhf with variant cpu.*arm64-cpu"):
        environment.lock_file("armhf", "cpu")


def test_another_program_is_another_build_around_the_same_packages(
    files: Path, bundle: ModuleType, environment: ModuleType
) -> None:
    build = bundle.build_of("amd64", "cpu", PYTHON)
    packages = environment.name_of("amd64", "cpu")
    with (files / "programs/herd_petals/client.py").open("a") as program:
        program.write("# changed\n")
    assert bundle.build_of("amd64", "cpu", PYTHON) != build
    assert environment.name_of("amd64", "cpu") == packages


def test_another_package_is_another_build_and_other_packages(
    files: Path, bundle: ModuleType, environment: ModuleType
) -> None:
    build = bundle.build_of("amd64", "cpu", PYTHON)
    packages = environment.name_of("amd64", "cpu")
    with (files / "lock-amd64-cpu.txt").open("a") as lock:
        lock.write("six==1.17.0 --hash=sha256:00\n")
    assert bundle.build_of("amd64", "cpu", PYTHON) != build
    assert environment.name_of("amd64", "cpu") != packages


def test_another_python_architecture_or_variant_is_another_build(bundle: ModuleType) -> None:
    kinds = [
        ("amd64", "cpu", PYTHON),
        ("amd64", "cpu", "/opt/python/bin/python3.11"),
        ("amd64", "cuda", PYTHON),
        ("arm64", "cpu", PYTHON),
    ]
    assert len({bundle.build_of(*kind) for kind in kinds}) == len(kinds)


def test_a_build_is_the_programs_and_a_python_that_finds_the_packages(
    bundle: ModuleType, tmp_path: Path
) -> None:
    build = tmp_path / "petals/builds/b1"
    packages = tmp_path / "petals/environments/e1/python3.11/site-packages"
    packages.mkdir(parents=True)
    build.mkdir(parents=True)
    bundle.lay_out("e1", "/opt/python/bin/python3.11", build)
    assert (build / "venv/lib/python3.11/site-packages").samefile(packages)
    assert (build / "venv/bin/python").readlink() == Path("/opt/python/bin/python3.11")
    assert "home = /opt/python/bin\n" in (build / "venv/pyvenv.cfg").read_text()
    for name in bundle.PROGRAMS:
        assert f'/programs" {name} "$@"' in (build / f"bin/petals-{name}").read_text()
        assert (build / f"programs/herd_petals/{name}.py").is_file()
