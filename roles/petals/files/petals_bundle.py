"""Petals as nodes of an architecture get it: the packages, and our programs around them.

Runs on the controller, as any user, with a Python that has pip:

    petals_bundle.py --architecture amd64 --variant cpu --python /usr/bin/python3.11
                     --cache FOLDER [--torch-index URL]
    petals_bundle.py --architecture amd64 --variant cpu --python PATH [--python PATH] --only-name

The packages (`petals_environment.py`) are hundreds of megabytes that seldom change; the build, a
few kilobytes, is a virtual environment of the node's own Python 3.11 whose `lib` is a link to them.
So nothing is installed on a node but these two archives, and a new program is quickly there.
Prints one line of JSON: the records of both (`make_bundle`) and `removed`, a sentence on what was
removed from the cache; or {"reason": "…"}. With --only-name: the build's name by each Python.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from debian_python import name_of as name_of_python
from petals_environment import (
    FILES,
    LEFT_OUT,
    PLATFORMS,
    BundleError,
    archive_of,
    have_environment,
    name_of,
    pack,
    record_of,
    wanted_wheels,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from core.digest import sha256_of
from models.pip import PipError

VERSION = "2.2.0.post1"
PROGRAMS = ("api", "check", "client", "server", "tune")
DAY_S = 86_400
UNUSED_S = 30 * DAY_S
"""After so long what no checkout has used is removed from the cache, which several may share."""
LAUNCHER = """#!/bin/sh
# Through the link, to the environment of this build; -I: nothing of the user's gets in.
build="$(/usr/bin/dirname "$(/usr/bin/readlink -f "$0")")/.."
exec "$build/venv/bin/python" -I "$build/programs" {} "$@"
"""
ENVIRONMENT = "home = {}\ninclude-system-site-packages = false\nversion = 3.11\n"


def build_of(architecture: str, variant: str, python: str) -> str:
    """Name of the build: what its bytes follow from, in short."""
    digest = hashlib.sha256(f"{name_of(architecture, variant)} {python}".encode())
    for path in (Path(__file__), *sorted((FILES / "programs").rglob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def lay_out(environment: str, python: str, staging: Path) -> None:
    """The programs, and a virtual environment around the packages."""
    shutil.copytree(
        FILES / "programs", staging / "programs", ignore=shutil.ignore_patterns("__pycache__")
    )
    (staging / "venv/bin").mkdir(parents=True)
    (staging / "venv/bin/python").symlink_to(python)
    (staging / "venv/lib").symlink_to(f"../../../environments/{environment}")
    (staging / "venv/pyvenv.cfg").write_text(ENVIRONMENT.format(Path(python).parent))
    (staging / "bin").mkdir()
    for name in PROGRAMS:
        launcher = staging / f"bin/petals-{name}"
        launcher.write_text(LAUNCHER.format(name))
        launcher.chmod(0o755)


def make_bundle(
    architecture: str, variant: str, python: str, cache: Path, torch_index: str
) -> dict[str, Any]:
    """Have both archives in the cache.

    Returns:
        `bundle`, the record of the build, and `packages`, of what it contains
        (`have_environment`).

    Raises:
        BundleError, PipError: the packages cannot be had; with the reason.
    """
    packages = have_environment(architecture, variant, cache, torch_index)
    build = build_of(architecture, variant, python)
    archive = cache / f"programs-{architecture}-{variant}-{build}.tar.gz"
    with tempfile.TemporaryDirectory(dir=cache) as staging:
        lay_out(packages["name"], python, Path(staging))
        Path(staging).chmod(0o755)
        unpacked_mib = pack(Path(staging), archive, level=6)
    bundle = {
        "engine": "petals",
        "method": variant,
        "gpu": "cuda" if variant == "cuda" else None,
        "key": architecture,
        "build": build,
        "version": VERSION,
        "commit": None,
        "flags": None,
        "compiler": None,
        "environment": packages["name"],
        "archive": str(archive),
        "archive_sha256": sha256_of(archive),
        "unpacked_mib": unpacked_mib,
    }
    return {"bundle": bundle, "packages": packages, "removed": clear(cache)}


def clear(cache: Path) -> str:
    """Remove what no lock file has named for long, of this checkout or of another.

    What those of this checkout name is marked as used. What was being packed a day ago goes, too.

    Returns:
        A sentence on it; empty if it was next to nothing.
    """
    archives = [cache / f"{name_of_python(name)}.tar.gz" for name in PLATFORMS]
    used: set[Path] = set()
    for lock in FILES.glob("lock-*-*.txt"):
        _, architecture, variant = lock.stem.split("-")
        archives.append(archive_of(architecture, variant, cache))
        wheels = cache / f"wheels-{architecture}-{variant}"
        used.update(map(Path, wanted_wheels(architecture, variant, wheels)))
    used.update(archives, map(record_of, archives))
    for path in (one for one in used if one.exists()):
        path.touch()
    files = (path for path in (*cache.iterdir(), *cache.glob("wheels-*/*.whl")) if path.is_file())
    dead = [path for path in files if age_s(path) > UNUSED_S]
    folders = (path for path in cache.glob("tmp*") if path.is_dir())
    left = [path for path in folders if age_s(path) > DAY_S]
    inside = (path for folder in left for path in folder.rglob("*"))
    freed_mib = sum(path.lstat().st_size for path in (*dead, *inside)) >> 20
    for path in dead:
        path.unlink(missing_ok=True)
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    if not freed_mib:
        return ""
    return f"{freed_mib} MiB in {cache} that nothing uses any more were removed."


def age_s(path: Path) -> float:
    """How long ago a file was written, or marked as used."""
    return time.time() - path.stat().st_mtime


def main() -> int:
    """Make what is lacking, print what there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--variant", required=True, choices=sorted(LEFT_OUT))
    parser.add_argument("--python", required=True, action="append", help="the node's Python 3.11")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--torch-index", default="")
    parser.add_argument("--only-name", action="store_true", help="print the build's name")
    given = parser.parse_args()
    if given.only_name:
        for python in given.python:
            print(build_of(given.architecture, given.variant, python))
        return 0
    try:
        told = make_bundle(
            given.architecture, given.variant, given.python[-1], given.cache, given.torch_index
        )
    except (BundleError, PipError) as error:
        told = {"reason": str(error)}
    except OSError as error:
        print(f"Keeping Petals in {given.cache}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
