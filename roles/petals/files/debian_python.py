"""Debian 12's Python 3.11 for nodes whose system has none, as one archive.

Runs on the controller, as any user, with any Python, and has apt check the packages:

    debian_python.py --architecture arm64 --cache FOLDER [--mirror URI]

Prints one line of JSON: `name`, `archive`, `unpacked_mib` and `packages`, or {"reason": "…"}.

Three packages are unpacked, without the modules that need more than a system's own Python has;
Debian 13 and Ubuntu 24.04 have the same C libraries under the same names. It finds its modules by
its own path (`bin/python3.11`, `lib/python3.11`), in any folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from core.digest import sha256_of
from models.archives import write_archive
from models.debian import DebianError, PrivateApt, Suite, own_mirror, unpack_packages, versions

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
"""Where none is named and the controller's own apt has none of Debian. What comes is signed."""
PACKAGES = ("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib")
LEFT_OUT = (
    *("test", "lib2to3", "idlelib", "pydoc_data", "EXTERNALLY-MANAGED", "sitecustomize.py"),
    *("lib-dynload/nis.*", "lib-dynload/_dbm.*"),
)
"""Of `lib/python3.11`: tests, settings of the system, and what needs libnsl or Berkeley DB."""


def name_of(architecture: str) -> str:
    """Name of its folder on a node: what is done to the packages follows from this file."""
    return f"python-{architecture}-{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]}"


def lay_out(root: Path, staging: Path) -> None:
    """Take interpreter and modules from the unpacked packages.

    Raises:
        DebianError: they are not where Debian 12 has them.
    """
    program, library = root / "usr/bin/python3.11", root / "usr/lib/python3.11"
    if not program.is_file() or not library.is_dir():
        raise DebianError("the packages hold no Python 3.11")
    for pattern in LEFT_OUT:
        for path in library.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (staging / "bin").mkdir(parents=True)
    shutil.copy2(program, staging / "bin/python3.11")
    shutil.copytree(library, staging / "lib/python3.11", symlinks=True)


def make(architecture: str, cache: Path, mirror: str) -> dict[str, Any]:
    """Have the archive in the cache.

    Raises:
        DebianError: the packages cannot be had; with the reason.
    """
    name = name_of(architecture)
    archive, kept = cache / f"{name}.tar.gz", cache / f"{name}.json"
    known = read_record(kept)
    is_there = archive.is_file() and known.get("name") == name
    if is_there and sha256_of(archive) == known.get("archive_sha256"):
        return known
    cache.mkdir(parents=True, exist_ok=True)
    uri = mirror or (own_mirror(("Debian",)) or (MIRROR,))[0]
    with tempfile.TemporaryDirectory(dir=cache) as work:
        apt = PrivateApt(Path(work, "apt"), architecture, Suite(uri, SUITE))
        debs = apt.alone(PACKAGES)
        unpack_packages(debs, Path(work, "root"))
        lay_out(Path(work, "root"), Path(work, "staging"))
        write_archive(Path(work, "staging"), Path(work, "archive"))
        files = [path for path in Path(work, "staging").rglob("*") if path.is_file()]
        record = {
            "name": name,
            "archive": str(archive),
            "archive_sha256": sha256_of(Path(work, "archive")),
            # Compiled code comes on top, as much again.
            "unpacked_mib": 2 * (sum(path.stat().st_size for path in files) >> 20) + 1,
            "packages": versions(debs),
        }
        Path(work, "archive").replace(archive)
    part = kept.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1, sort_keys=True))
    part.replace(kept)
    return record


def read_record(path: Path) -> dict[str, Any]:
    """What is known of the archive in the cache; nothing if it cannot be read."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def main() -> int:
    """Have it, and print what there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--mirror", default="")
    given = parser.parse_args()
    try:
        told = make(given.architecture, given.cache, given.mirror)
    except DebianError as error:
        told = {"reason": f"Debian 12's Python 3.11 cannot be had: {error}"}
    except OSError as error:
        print(f"Keeping Python in {given.cache}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
