"""llama.cpp's source distribution: the one of its hash, whatever lies in the cache."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = PROJECT / "roles" / "llama_cpp" / "files" / "source_distribution.py"
BACKEND = """
import os
open({seen!r}, "w").write(str(dict(os.environ)))
def prepare_metadata_for_build_wheel(folder, settings=None):
    os.mkdir(folder + "/engine-1.0.dist-info")
    with open(folder + "/engine-1.0.dist-info/METADATA", "w") as file:
        file.write("Metadata-Version: 2.1\\nName: engine\\nVersion: 1.0\\n")
    return "engine-1.0.dist-info"
def build_wheel(folder, settings=None, metadata=None):
    raise SystemExit("nothing is built")
"""
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source distribution, in a folder from which pip takes all it gets."""
    (tmp_path / "index").mkdir()
    path = tmp_path / "index" / "engine-1.0.tar.gz"
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: engine\nVersion: 1.0\n",
        "pyproject.toml": PYPROJECT,
        "backend.py": BACKEND.format(seen=str(tmp_path / "seen")),
    }
    with tarfile.open(path, "w:gz") as packed:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"engine-1.0/{name}")
            entry.size = len(text)
            packed.addfile(entry, io.BytesIO(text.encode()))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def have(archive: Path, expected: str) -> subprocess.CompletedProcess[str]:
    options = ["--package=engine", "--version=1.0", f"--sha256={expected}", f"--archive={archive}"]
    return subprocess.run(
        [sys.executable, str(PROGRAM), *options], capture_output=True, text=True, check=False
    )


def test_it_is_fetched_by_its_hash_and_again_only_if_the_cache_has_another(
    published: Path, tmp_path: Path
) -> None:
    archive, expected = tmp_path / "engine.tar.gz", sha256(published)
    assert have(archive, expected).returncode == 0
    assert "hf_planted" not in (tmp_path / "seen").read_text()
    archive.write_bytes(b"damaged")
    assert have(archive, expected).returncode == 0
    assert sha256(archive) == expected
    published.unlink()
    assert have(archive, expected).returncode == 0


def test_another_one_is_refused_before_anything_of_it_is_run(
    published: Path, tmp_path: Path
) -> None:
    refused = have(tmp_path / "engine.tar.gz", "0" * 64)
    assert refused.returncode == 1
    assert refused.stderr.startswith("ERROR:")
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "seen").exists()
    assert not (tmp_path / "engine.tar.gz").exists()
