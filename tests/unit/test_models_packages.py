"""Packages of pip and npm as sources: files are taken out, and nothing in them is run."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from models.catalogue import FileSource
from models.clients import environment_for_clients
from models.packages import PackageStore, SourceUnavailableError

KEYS = ("OPENAI_API_KEY", "HF_TOKEN", "NPM_TOKEN", "AWS_SECRET_ACCESS_KEY", "A_KEY_OF_MY_OWN")


class Listener:
    def note(self, text: str) -> None: ...

    def progress(self, label: str, done: int, total: int | None) -> None: ...


def store(folder: Path) -> PackageStore:
    return PackageStore(folder / "store", Listener())


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which pip takes all it gets."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")
    for key in KEYS:
        monkeypatch.setenv(key, "planted")
    return folder


def add_source_distribution(index: Path, pwned: Path) -> None:
    files = {
        "evil-1.0/setup.py": f"import os\nopen({str(pwned)!r}, 'w').write(str(os.environ))\n"
        "from setuptools import setup\nsetup(name='evil', version='1.0')\n",
        "evil-1.0/PKG-INFO": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
        "evil-1.0/model.bin": "source",
    }
    with tarfile.open(index / "evil-1.0.tar.gz", "w:gz") as packed:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            packed.addfile(entry, io.BytesIO(text.encode()))


def add_wheel(index: Path) -> None:
    with zipfile.ZipFile(index / "evil-1.0-py3-none-any.whl", "w") as packed:
        packed.writestr("evil/model.bin", "wheel")
        packed.writestr(
            "evil-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n"
        )
        packed.writestr("evil-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        packed.writestr("evil-1.0.dist-info/RECORD", "")


def test_a_source_distribution_is_not_taken_for_it_would_be_run(
    tmp_path: Path, index: Path
) -> None:
    add_source_distribution(index, tmp_path / "pwned")
    with (
        pytest.raises(SourceUnavailableError, match="No matching distribution"),
        store(tmp_path).open_member("pypi:evil==1.0#evil-1.0/model.bin"),
    ):
        pass
    assert not (tmp_path / "pwned").exists()


def test_where_there_is_a_wheel_its_file_is_taken(tmp_path: Path, index: Path) -> None:
    add_source_distribution(index, tmp_path / "pwned")
    add_wheel(index)
    with store(tmp_path).open_member("pypi:evil==1.0#evil/model.bin") as member:
        assert member.read() == b"wheel"
    assert not (tmp_path / "pwned").exists()


def npm_that_gives(folder: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = folder / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n(env; echo "$@") >{folder}/seen\ncp {archive} .\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return folder / "seen"


def test_npm_runs_no_scripts_and_sees_no_keys(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_source_distribution(index, tmp_path / "pwned")
    seen = npm_that_gives(tmp_path, index / "evil-1.0.tar.gz", monkeypatch)
    monkeypatch.setenv("npm_config_cache", "/somewhere")
    with store(tmp_path).open_member("npm:evil@1.0#evil-1.0/model.bin") as member:
        assert member.read() == b"source"
    assert "--ignore-scripts" in seen.read_text()
    assert "npm_config_cache=/somewhere" in seen.read_text()
    assert "planted" not in seen.read_text()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_what_only_stands_for_a_file_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: bytes
) -> None:
    entry = tarfile.TarInfo("package/model.bin")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as packed:
        packed.addfile(entry)
    npm_that_gives(tmp_path, tmp_path / "a.tgz", monkeypatch)
    with (
        pytest.raises(SourceUnavailableError, match=r"no readable file package/model\.bin"),
        store(tmp_path).open_member("npm:a@1.0#package/model.bin"),
    ):
        pass


def test_a_package_that_is_broken_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tgz").write_bytes(b"\x1f\x8bnothing")
    npm_that_gives(tmp_path, tmp_path / "a.tgz", monkeypatch)
    with (
        pytest.raises(SourceUnavailableError, match=r"a\.tgz: it cannot be unpacked"),
        store(tmp_path).open_member("npm:a@1.0#package/model.bin"),
    ):
        pass


@pytest.mark.parametrize(
    "address",
    [
        "npm:--global@1.0#x",
        "npm:a@..#x",
        "npm:a@-x#x",
        "npm:@-a/b@1.0#x",
        "npm:a@git+https://x#x",
        "npm:a@file:x#x",
        "pypi:-r==x#x",
        "pypi:a==-x#x",
        "pypi:a @ file:///x#x",
        "file:///etc/passwd",
        "http://127.0.0.1/x",
    ],
)
def test_an_address_that_is_an_option_or_a_path_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match="is not a valid source"):
        FileSource.model_validate({"from": address, "size_bytes": 1, "sha256": "0" * 64})


def test_clients_get_what_reaches_the_network_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed = ("PATH", "HOME", "https_proxy", "NO_PROXY", "SSL_CERT_FILE", "PIP_INDEX_URL", "LC_ALL")
    kept_back = (*KEYS, "GIT_DIR", "PYTHONPATH", "LD_PRELOAD", "NODE_OPTIONS", "PYTHONSTARTUP")
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name in (*passed, *kept_back):
        monkeypatch.setenv(name, name)
    assert set(environment_for_clients(MORE="x")) == {*passed, "MORE"}
