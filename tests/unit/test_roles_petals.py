"""What the controller makes of Petals for nodes: packages that stay, programs that change."""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from models import debian
from models.debian import DebianError, PrivateApt, Suite, own_mirror
from models.pip import PipError
from tests.doubles.fake_hosts import PROJECT, play
from tests.doubles.serving import serving

ROLE = PROJECT / "roles/petals"
FILES = ROLE / "files"
PYTHON = "/usr/bin/python3.11"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the role's files, from which the bundler is imported."""
    copy = tmp_path / "files"
    shutil.copytree(FILES, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(str(copy))
    yield copy
    for name in ("petals_bundle", "petals_environment", "debian_python"):
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


def test_the_builds_by_several_pythons_are_named_at_once(
    bundle: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pythons = [PYTHON, "/opt/python/bin/python3.11"]
    words = ["--architecture=amd64", "--variant=cpu", *(f"--python={path}" for path in pythons)]
    monkeypatch.setattr(sys, "argv", ["petals_bundle.py", *words, "--only-name"])
    assert bundle.main() == 0
    builds = [bundle.build_of("amd64", "cpu", path) for path in pythons]
    assert capsys.readouterr().out.split() == builds


def test_what_is_done_to_the_packages_names_them_and_how_it_is_written_does_not(
    files: Path, environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = environment.name_of("amd64", "cpu")
    with (files / "petals_environment.py").open("a") as program:
        program.write("# a remark\n")
    assert environment.name_of("amd64", "cpu") == name
    for constant, other in (("RECIPE", 0), ("LEFT_OUT", {"cpu": ("torch/lib",)})):
        with monkeypatch.context() as changed:
            changed.setattr(environment, constant, other)
            assert environment.name_of("amd64", "cpu") != name


def test_what_no_lock_uses_any_more_is_removed_from_the_cache(
    bundle: ModuleType, environment: ModuleType, tmp_path: Path
) -> None:
    cache, mib = tmp_path / "cache", b"x" * (1 << 20)
    wheels = cache / "wheels-amd64-cpu"
    wheels.mkdir(parents=True)
    kept = [
        environment.archive_of("amd64", "cpu", cache),
        environment.archive_of("arm64", "cpu", cache),
        environment.record_of(environment.archive_of("amd64", "cpu", cache)),
        wheels / "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.whl",
        wheels / "varint-1.0.2-py3-none-any.whl",
    ]
    of_another_checkout = [
        cache / "environment-amd64-cpu-of-its-lock.tar.gz",
        cache / "environment-amd64-cpu-of-its-lock.json",
        cache / "programs-amd64-cpu-of-its.tar.gz",
        wheels / "numpy-1.26.2-cp311-cp311-manylinux_2_17_x86_64.whl",
    ]
    dead = [
        cache / "programs-amd64-cpu-00.tar.gz",
        cache / "environment-amd64-cpu-of-another-lock.tar.gz",
        cache / "amd64-cpu-usr-bin-python3.11.tar.gz",
        cache / "python-amd64-of-another-recipe.tar.gz",
        wheels / "numpy-1.26.3-cp311-cp311-manylinux_2_17_x86_64.whl",
        wheels / "left-1-py3-none-any.whl",
    ]
    kept.append(cache / "tmp-that-another-packs/now")
    interrupted = cache / "tmp-of-a-killed-one"
    for folder in (interrupted, kept[-1].parent):
        folder.mkdir()
    for path in (*dead, interrupted / "torch", *kept):
        path.write_bytes(mib)
        os.utime(path, (0, 0))
    yesterday = time.time() - 86_400
    for path in of_another_checkout:
        path.write_bytes(mib)
        os.utime(path, (yesterday, yesterday))
    os.utime(kept[-1].parent)
    os.utime(interrupted, (0, 0))
    assert bundle.clear(cache) == f"7 MiB in {cache} that nothing uses any more were removed."
    assert sorted(path for path in cache.rglob("*") if path.is_file()) == sorted(
        kept + of_another_checkout
    )
    assert kept[0].stat().st_mtime > yesterday, "in use, for other checkouts to see"
    assert bundle.clear(cache) == ""


@pytest.fixture
def python(files: Path) -> ModuleType:
    return importlib.import_module("debian_python")


def test_a_python_is_laid_out_where_it_finds_its_own_modules(
    python: ModuleType, tmp_path: Path
) -> None:
    root, staging = tmp_path / "root", tmp_path / "staging"
    library = root / "usr/lib/python3.11"
    for name in ("os.py", "lib-dynload/_ssl.so", "lib-dynload/nis.so", "test/x.py"):
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text(name)
    (library / "sitecustomize.py").symlink_to("/etc/python3.11/sitecustomize.py")
    (root / "usr/bin").mkdir()
    (root / "usr/bin/python3.11").write_text("program")
    python.lay_out(root, staging)
    found = [str(path.relative_to(staging)) for path in staging.rglob("*") if not path.is_dir()]
    below = "lib/python3.11"
    assert sorted(found) == ["bin/python3.11", f"{below}/lib-dynload/_ssl.so", f"{below}/os.py"]
    with pytest.raises(DebianError, match=r"hold no Python 3\.11"):
        python.lay_out(staging, tmp_path / "other")


def test_keys_that_the_controller_lacks_are_named_with_the_package_that_has_them() -> None:
    source = Suite("http://mirror.example", "sid", distribution="nobodys")
    with pytest.raises(DebianError, match="sudo apt-get install nobodys-archive-keyring"):
        source.keyring()


@pytest.mark.parametrize(
    "uri", ["mirror.example", "", "http://a b", "http://a\nTrusted: yes", "cdrom:[Debian 12]/"]
)
def test_what_is_no_address_of_a_mirror_is_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(DebianError, match=r"not the address of a mirror, such as http"):
        PrivateApt(tmp_path, "amd64", Suite(uri, "bookworm"))


def test_a_disc_is_no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "Debian|Debian|cdrom:[Debian 12]/\nDebian|Debian|http://mirror.example/debian/\n"
    monkeypatch.setattr(debian, "run", lambda *_: told)
    assert own_mirror(("Debian",)) == ("http://mirror.example/debian/", "Debian")


def test_what_nobody_signed_is_refused_though_the_controller_does_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    suite = tmp_path / "mirror/dists/bookworm"
    (suite / "main/binary-amd64").mkdir(parents=True)
    (suite / "main/binary-amd64/Packages").write_text("")
    empty = hashlib.sha256(b"").hexdigest()
    (suite / "Release").write_text(
        f"Origin: Debian\nSuite: bookworm\nCodename: bookworm\nArchitectures: amd64\n"
        f"Components: main\nSHA256:\n {empty} 0 main/binary-amd64/Packages\n"
    )
    careless = tmp_path / "apt.conf"
    careless.write_text(
        'Acquire::AllowInsecureRepositories "true";\nAPT::Get::AllowUnauthenticated "true";\n'
    )
    settings = debian.environment_for_clients
    monkeypatch.setattr(
        debian,
        "environment_for_clients",
        lambda **more: settings(**more, APT_CONFIG=str(careless)),
    )
    monkeypatch.setattr(Suite, "keyring", lambda _: "/dev/null")
    source = Suite(f"file:{tmp_path}/mirror", "bookworm")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DebianError, match="is not signed"):
        PrivateApt(Path("strict"), "amd64", source)
    monkeypatch.setattr(debian, "_CHECKED", {})
    PrivateApt(tmp_path / "careless", "amd64", source)


def node(*told: str, architecture: str = "amd64", **said: str) -> dict[str, object]:
    """A node that tells this, and what its inventory says."""
    return {
        "petals_probe": {"stdout_lines": list(told)},
        "engine_base_probes": "{{ {inventory_hostname: {'architecture': architecture}} }}",
        "engine_base_folder": "/opt/llama-herd/engines",
        "architecture": architecture,
        **said,
    }


HAS = ("python 3.11", f"path {PYTHON}", "path /usr", "libc glibc 2.36", "gpu ")
LACKS = ("libc glibc 2.41", "gpu ")
AT_HOME = "/home/alice/.local/share/uv/python/cpython-3.11/bin/python3.11"
CASES: Mapping[str, tuple[dict[str, object], str]] = {
    "debian_12": (node(*HAS), "its own"),
    "debian_13": (node(*LACKS), "brought along"),
    "pi_os_trixie": (node(*LACKS, architecture="arm64"), "brought along"),
    "ubuntu_24_04": (node("libc glibc 2.39"), "brought along"),
    "debian_11": (node("libc glibc 2.31"), "C library (2.31) is older"),
    "musl": (node("libc "), "C library (0) is older"),
    "armhf": (node(*LACKS, architecture="armhf"), "cannot be had for armhf"),
    "named": (node("python 3.11", "path /opt/p", petals_python="/opt/p"), "its own"),
    "named_in_a_link_to_a_home": (
        node("python 3.11", f"path {AT_HOME}", petals_python="/usr/local/bin/python3.11"),
        f"/usr/local/bin/python3.11 is in {AT_HOME}, and the units",
    ),
    "named_at_roots_home": (
        node("python 3.11", "path /root/p/bin/python3.11", petals_python="/root/p/bin/python3.11"),
        "units of engines see neither homes",
    ),
    "of_a_home_for_all": (
        node("python 3.11", f"path {PYTHON}", "path /home/alice/python"),
        "units of engines see neither homes",
    ),
    "named_another": (node("python 3.12", petals_python="/usr/bin/python3"), "not the absolute"),
    "named_relative": (node("python 3.11", petals_python="python3.11"), "not the absolute"),
    "named_none": (node(petals_python="/opt/none"), "petals_python is /opt/none"),
    "cuda": (node(*HAS[:-1], "gpu 8.6", petals_variant="cuda"), "its own"),
    "cuda_without_gpu": (node(*HAS, petals_variant="cuda"), "no GPU answers"),
    "cuda_too_old": (node(*HAS[:-1], "gpu 3.5", petals_variant="cuda"), "capability 3.5) is older"),
    "cuda_old_driver": (
        node(*HAS, "driver 470.256.02", petals_variant="cuda"),
        "driver (470.256.02) is older than",
    ),
    "cuda_right_driver": (
        node(*HAS[:-1], "gpu 8.6", "driver 535.1", petals_variant="cuda"),
        "its own",
    ),
    "cuda_too_new": (
        node(*LACKS[:-1], "gpu 12.0", petals_variant="cuda"),
        "capability 12.0) is newer",
    ),
}


def test_which_python_a_node_gets_or_why_it_has_no_petals(tmp_path: Path) -> None:
    hosts = {
        name: {"petals_variant": "cpu", "petals_python": "", **of}
        for name, (of, _) in CASES.items()
    }
    way = "{{ petals_obstacle or ('brought along' if petals_is_brought else 'its own') }}"
    tasks = [
        {"ansible.builtin.include_vars": str(ROLE / "vars/main.yml")},
        {"name": "Way", "ansible.builtin.debug": {"msg": way}},
    ]
    account = play(tmp_path, hosts, tasks)
    told = {
        host: result["msg"] for host, result in account["plays"][0]["tasks"][1]["hosts"].items()
    }
    for name, (_, expected) in CASES.items():
        assert expected in told[name], name


def test_a_petals_that_works_is_kept_where_another_cannot_be_had(tmp_path: Path) -> None:
    works = {"install": {"method": "cpu", "build": "b"}, "intact": True, "python": None}
    settings = node(*HAS, petals_variant="cuda", petals_python="", petals_debian_mirror="")
    probe = {"architecture": "amd64", "engines": {"petals": works}}
    settings["engine_base_probes"] = "{{ {inventory_hostname: probed} }}"
    tasks = yaml.safe_load((ROLE / "tasks/provide.yml").read_text())
    block = next(task for task in tasks if "block" in task)
    ending = [one for one in block["block"] if one["name"].startswith(("Leave", "Report where"))]
    for one in ending:
        one.pop("ansible.builtin.include_role", None)
        one.pop("vars", None)
        one.setdefault("ansible.builtin.debug", {"msg": "taken away"})
    account = play(
        tmp_path,
        {
            "works": {**settings, "probed": probe},
            "no_keys": {
                **settings,
                "probed": probe,
                "petals_variant": "cpu",
                "petals_probe": {"stdout_lines": list(LACKS)},
                "petals_python_fetched": {"stdout": '{"reason": "no keys"}'},
            },
            "lacks": {**settings, "probed": {**probe, "engines": {"petals": {"intact": False}}}},
        },
        [{"ansible.builtin.include_vars": str(ROLE / "vars/main.yml")}, *ending],
    )
    leave, say = (task["hosts"] for task in account["plays"][0]["tasks"][1:])
    assert leave["lacks"]["msg"] == "taken away"
    assert leave["works"]["skipped"] is True
    assert say["lacks"]["skipped"] is True
    assert "because no keys; or name a mirror that has Debian 12" in say["no_keys"]["msg"]
    assert say["works"]["msg"].startswith(
        "works keeps the Petals that it has (cpu): the one for cuda is not installed, because no "
    )


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
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, serving(server):
        url = f"http://127.0.0.1:{server.server_port}"
        settings = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": f"{url}/own"}
        for name, value in {**settings, "NO_PROXY": "127.0.0.1", "PIP_RETRIES": "0"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
        yield Index(folder, url)


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
    # And what is there is not fetched again.
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
    with pytest.raises(PipError, match="DO NOT MATCH THE HASHES"):
        fetched(environment, tmp_path / "wheels", f"{index.url}/torch-index")
    assert not list((tmp_path / "wheels").glob("torch-*.whl"))


@pytest.mark.usefixtures("lock")
def test_without_an_index_for_pytorch_it_is_said_that_there_is_none(
    environment: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(PipError, match="No matching distribution found for torch"):
        fetched(environment, tmp_path / "wheels", "")
