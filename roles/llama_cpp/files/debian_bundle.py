"""llama.cpp from the distribution's development suite, as one archive for nodes of any release.

Runs on the controller, as any user, and touches nothing of the system's apt but its list of
mirrors and its keys:

    debian_bundle.py --architecture amd64 --cache FOLDER [--mirror URI]

Prints one line of JSON: the record of the bundle, or {"reason": "…"} when there is none.

The packages need a newer C library than most nodes have, so they bring their own along with its
loader, and a wrapper starts each program through that. ggml looks for its backends next to the
running executable, which is the loader: so the loader is among the backends.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from core.digest import sha256_of
from models.archives import write_archive
from models.debian import DebianError, PrivateApt, Suite, own_mirror, unpack_packages, versions

PROGRAMS = (
    "ggml-rpc-server",
    "llama-bench",
    "llama-completion",
    "llama-perplexity",
    "llama-server",
)
PACKAGES = ("llama.cpp-tools", "llama.cpp-tools-extra", "libggml0-backend-rpc")
NOT_NEEDED = ("debconf", "wget")
"""The packages ask for them, the programs do without."""
PREFIX = "/opt/llama-herd/engines/llama.cpp/builds"


ORIGINS = {"Debian": ("sid", "main"), "Ubuntu": ("devel", "main universe")}
"""The newest packages of a distribution: their suite and its components."""


def source_of(given: str) -> Suite:
    """The mirror that the controller's own apt uses, or the given one of Debian."""
    found = (given, "Debian") if given else own_mirror(tuple(ORIGINS))
    if found is None:
        raise DebianError(
            "the controller's apt has no lists of Debian or Ubuntu: run `apt-get update` there, "
            "or set llama_cpp_debian_mirror"
        )
    uri, origin = found
    suite, components = ORIGINS[origin]
    return Suite(uri, suite, components, origin.lower())


def one(root: Path, pattern: str) -> Path:
    """The one file of a pattern; DebianError when upstream moved it."""
    found = sorted(path for path in root.glob(pattern) if not path.is_dir())
    if not found:
        raise DebianError(f"the packages hold no {pattern}")
    return found[0]


def lay_out(root: Path, staging: Path, build: str) -> None:
    """From unpacked packages take programs, libraries and loader, and write the wrappers."""
    backends = one(root, "usr/lib/*/ggml/backends*/libggml-rpc.so").parent
    triplet = backends.parents[1]
    library = staging / "lib"
    shutil.copytree(backends, library / "ggml", symlinks=True)
    for folder in (triplet, triplet / "llama"):
        for path in folder.glob("*.so*"):
            shutil.copy2(path, library / path.name, follow_symlinks=False)
    shutil.copy2(one(root, "usr/lib/*/ld-linux-*.so.*"), library / "ggml" / "ld.so")
    (staging / "programs").mkdir()
    (staging / "bin").mkdir()
    for name in PROGRAMS:
        shutil.copy2(one(root, f"usr/**/{name}"), staging / "programs" / name)
        wrapper = staging / "bin" / name
        here = f"{PREFIX}/{build}"
        wrapper.write_text(
            f"#!/bin/sh\nexec {here}/lib/ggml/ld.so --library-path {here}/lib "
            f'{here}/programs/{name} "$@"\n'
        )
        wrapper.chmod(0o755)


def upstream_version(version: str) -> str:
    """`1:0.7.0+dfsg-2` is upstream's 0.7.0."""
    return version.partition(":")[2].partition("-")[0].partition("+")[0]


def make_bundle(architecture: str, cache: Path, given_mirror: str) -> dict[str, object]:
    """Download, unpack, pack; return the record of the cache's content."""
    source = source_of(given_mirror)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        apt = PrivateApt(Path(work, "apt"), architecture, source, given=NOT_NEEDED)
        debs = apt.with_dependencies(PACKAGES)
        packages = versions(debs)
        unpack_packages(debs, Path(work, "root"))
        # The layout is this program's doing, so the program is a part of what a build is.
        recipe = Path(__file__).read_text() + json.dumps(packages, sort_keys=True)
        build = hashlib.sha256(recipe.encode()).hexdigest()[:16]
        staging = Path(work, "staging")
        staging.mkdir()
        lay_out(Path(work, "root"), staging, build)
        unpacked = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
        archive = cache / f"debian-{architecture}-{build}.tar.gz"
        return {
            **record_of(architecture, source.suite, build, packages),
            **packed(staging, archive, Path(work, "bundle"), unpacked),
        }


def packed(staging: Path, archive: Path, part: Path, unpacked_bytes: int) -> dict[str, object]:
    """Pack a bundle into the cache; return the part of its record about the archive.

    Args:
        staging: the bundle.
        archive: where it is kept.
        part: where it is written first, on the same disk.
        unpacked_bytes: size of the bundle.
    """
    write_archive(staging, part)
    archive_sha256 = sha256_of(part)
    part.replace(archive)
    return {
        "archive": archive.name,
        "archive_sha256": archive_sha256,
        "unpacked_mib": (unpacked_bytes >> 20) + 1,
    }


def record_of(
    architecture: str, suite: str, build: str, packages: dict[str, dict[str, str]]
) -> dict[str, object]:
    """The part of a bundle's record about its content."""
    return {
        "engine": "llama.cpp",
        "method": "debian",
        "key": architecture,
        "build": build,
        "version": upstream_version(packages["llama.cpp-tools"]["version"]),
        "commit": None,
        "flags": None,
        "compiler": None,
        "packages": packages,
        "suite": suite,
    }


def keep_and_print(make: Callable[[], dict[str, object]], cache: Path, stem: str) -> int:
    """Make a bundle, keep its record next to it, print the record, or the reason if there is none.

    Args:
        make: makes the bundle in the cache and returns its record.
        cache: the folder of bundles.
        stem: how names of this kind of bundle begin; older ones of that kind are deleted.

    Returns:
        The status for the shell.
    """
    try:
        record = make()
    except DebianError as error:
        print(json.dumps({"reason": str(error)}))
        return 0
    except OSError as error:
        print(f"Keeping llama.cpp in {cache}: {error}", file=sys.stderr)
        return 1
    kept = cache / f"{stem}.json"
    part = kept.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1, sort_keys=True))
    part.replace(kept)
    for archive in cache.glob(f"{stem}-*.tar.gz"):
        if archive.name != record["archive"]:
            archive.unlink()
    print(json.dumps(record))
    return 0


def main() -> int:
    """Make the bundle, keep its record next to it, print the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--mirror", default="")
    given = parser.parse_args()
    return keep_and_print(
        lambda: make_bundle(given.architecture, given.cache, given.mirror),
        given.cache,
        f"debian-{given.architecture}",
    )


if __name__ == "__main__":
    sys.exit(main())
