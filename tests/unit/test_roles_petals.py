"""What the controller makes of Petals for nodes: packages that stay, programs that change."""

from __future__ import annotations

import functools
import hashlib
import importlib
import shutil
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
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


class Index:
    """Two package indexes on loopback: the controller's own, and one that alone has PyTorch.

    Attributes:
        folder: what is served; a folder of wheels for each package, as the listing of a folder is
            an index's page.
        url: of that folder.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        (folder / "own").mkdir()
        (folder / "torch-index/torch").mkdir(parents=True)

    def publish(self, place: str, package: str) -> str:
        """Put a wheel of a package's version 1 there; its line in a lock file."""
        folder = self.folder / place / package
        folder.mkdir(exist_ok=True)
        wheel = folder / f"{package}-1-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as written:
            about = f"{package}-1.dist-info"
            written.writestr(
                f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n"
            )
            written.writestr(
                f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            written.writestr(f"{about}/RECORD", "")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        return f"{package}==1 --hash=sha256:{digest}\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    folder = tmp_path / "index"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        settings = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": f"{url}/own"}
        for name, value in {**settings, "NO_PROXY": "127.0.0.1", "PIP_RETRIES": "0"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
        yield Index(folder, url)
        server.shutdown()


@pytest.fixture
def lock(files: Path, index: Index) -> None:
    """A lock file of two packages, of which the controller's own index has no PyTorch."""
    (files / "lock-sources.txt").write_text("")
    lines = index.publish("own", "other") + index.publish("torch-index", "torch")
    (files / "lock-amd64-cpu.txt").write_text(lines)


def fetched(environment: ModuleType, wheels: Path, torch_index: str) -> list[str]:
    wheels.mkdir(exist_ok=True)
    environment.fetch("amd64", "cpu", wheels, torch_index)
    return [path.name for path in sorted(wheels.glob("*.whl"))]


@pytest.mark.usefixtures("lock")
def test_pytorch_is_fetched_from_the_index_that_was_named_for_it(
    environment: ModuleType, index: Index, tmp_path: Path
) -> None:
    found = fetched(environment, tmp_path / "wheels", f"{index.url}/torch-index")
    assert found == ["other-1-py3-none-any.whl", "torch-1-py3-none-any.whl"]


@pytest.mark.usefixtures("lock")
def test_what_is_there_is_not_fetched_again(
    environment: ModuleType, index: Index, tmp_path: Path
) -> None:
    found = fetched(environment, tmp_path / "wheels", f"{index.url}/torch-index")
    shutil.rmtree(index.folder / "torch-index")
    shutil.rmtree(index.folder / "own")
    assert fetched(environment, tmp_path / "wheels", "") == found


@pytest.mark.usefixtures("lock")
def test_another_pytorch_than_the_locked_one_is_refused(
    environment: ModuleType, index: Index, tmp_path: Path
) -> None:
    (wheel,) = (index.folder / "torch-index/torch").iterdir()
    with zipfile.ZipFile(wheel, "a") as changed:
        changed.writestr("torch/more.py", "")
    with pytest.raises(environment.BundleError, match="DO NOT MATCH THE HASHES"):
        fetched(environment, tmp_path / "wheels", f"{index.url}/torch-index")
    assert not list((tmp_path / "wheels").glob("torch-*.whl"))


@pytest.mark.usefixtures("lock")
def test_without_an_index_for_pytorch_it_is_said_that_there_is_none(
    environment: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(environment.BundleError, match="No matching distribution found for torch"):
        fetched(environment, tmp_path / "wheels", "")
