"""llama.cpp's packages for nodes whose GPU it uses: those of `debian_bundle`, and one backend more.

Runs on the controller like `debian_bundle`, with the same answer:

    debian_gpu_bundle.py --architecture amd64 --gpu vulkan --cache FOLDER [--mirror URI]

The programs and folders of a CPU node are all there, unchanged. Next to each program is one with
the backend's name as suffix. It is started by another copy of the loader, in a separate folder, and
ggml looks for backends there: those of the CPU node and the GPU's. A program without suffix finds
no GPU.

The driver is the node's own: `libcuda.so.1`, or a Vulkan driver that the package's loader finds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
import debian_bundle
from debian_bundle import NOT_NEEDED, PACKAGES, PREFIX, PROGRAMS, one

from models.debian import DebianError, PrivateApt, Suite, unpack_packages, versions

BACKENDS = {"vulkan": "libggml0-backend-vulkan", "cuda": "libggml0-backend-cuda"}
DRIVERS = ("libcuda1",)
"""Packages of NVIDIA's driver: each node has its own."""
NOT_FREE = {"debian": "main contrib non-free", "ubuntu": "main universe restricted multiverse"}
"""Components of a distribution that hold CUDA's packages, too."""
CUDA_ARCHITECTURES = ("amd64",)


def source_for(gpu: str, mirror: str) -> Suite:
    """The mirror and its components that have the backend's package."""
    source = debian_bundle.source_of(mirror)
    if gpu != "cuda":
        return source
    return replace(source, components=NOT_FREE[source.distribution])


def fetch(apt: PrivateApt, gpu: str, source: Suite) -> tuple[list[Path], list[Path]]:
    """The packages of a CPU node, and what the backend also needs.

    Raises:
        DebianError: the mirror has no such backend, or something failed.
    """
    common = apt.with_dependencies(PACKAGES)
    try:
        both = apt.with_dependencies((*PACKAGES, BACKENDS[gpu]))
    except DebianError as error:
        if "Unable to locate" not in str(error) and "no installation candidate" not in str(error):
            raise
        raise DebianError(
            f"{source.uri} has no {BACKENDS[gpu]} in {source.suite} ({source.components}): name a "
            "mirror that has it in llama_cpp_debian_mirror"
        ) from None
    return common, [deb for deb in both if deb not in common]


def add_backend(root: Path, staging: Path, gpu: str, build: str) -> None:
    """Add the backend from unpacked packages, and its programs, to what `lay_out` made."""
    common = staging / "lib" / "ggml"
    folder = staging / "lib" / f"ggml-{gpu}"
    folder.mkdir()
    for path in common.iterdir():
        if path.name != "ld.so":
            (folder / path.name).symlink_to(Path("..", "ggml", path.name))
    # What /proc/self/exe names must lie here, so it is no link.
    shutil.copy2(common / "ld.so", folder / "ld.so")
    shutil.copy2(one(root, f"usr/lib/*/ggml/backends*/libggml-{gpu}.so"), folder)
    for path in root.glob("usr/lib/*/*.so*"):
        shutil.copy2(path, folder / path.name, follow_symlinks=False)
    here = f"{PREFIX}/{build}"
    for name in PROGRAMS:
        wrapper = staging / "bin" / f"{name}-{gpu}"
        wrapper.write_text(
            f"#!/bin/sh\nexec {here}/lib/ggml-{gpu}/ld.so --library-path "
            f'{here}/lib:{here}/lib/ggml-{gpu} {here}/programs/{name} "$@"\n'
        )
        wrapper.chmod(0o755)


def name_of(packages: dict[str, dict[str, str]]) -> str:
    """Name a build by what it is made of, and by the programs that make it."""
    programs = (Path(__file__), Path(debian_bundle.__file__))
    recipe = "".join(path.read_text() for path in programs) + json.dumps(packages, sort_keys=True)
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def make_bundle(architecture: str, gpu: str, cache: Path, mirror: str) -> dict[str, object]:
    """Download, unpack, pack; return the record of the cache's content.

    Raises:
        DebianError: there are no such packages, one sentence.
    """
    if gpu == "cuda" and architecture not in CUDA_ARCHITECTURES:
        raise DebianError(f"Debian has {BACKENDS[gpu]} for {CUDA_ARCHITECTURES[0]} alone")
    source = source_for(gpu, mirror)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        apt = PrivateApt(Path(work, "apt"), architecture, source, given=NOT_NEEDED + DRIVERS)
        common, more = fetch(apt, gpu, source)
        packages = versions([*common, *more])
        build = name_of(packages)
        unpack_packages(common, Path(work, "root"))
        unpack_packages(more, Path(work, "backend"))
        staging = Path(work, "staging")
        staging.mkdir()
        debian_bundle.lay_out(Path(work, "root"), staging, build)
        add_backend(Path(work, "backend"), staging, gpu, build)
        unpacked_bytes = sum(
            path.lstat().st_size for path in staging.rglob("*") if not path.is_dir()
        )
        archive = cache / f"{stem(architecture, gpu)}-{build}.tar.gz"
        return {
            **debian_bundle.record_of(architecture, source.suite, build, packages),
            **debian_bundle.packed(staging, archive, Path(work, "bundle"), unpacked_bytes),
            "gpu": gpu,
        }


def stem(architecture: str, gpu: str) -> str:
    """How names of kept files begin: otherwise than those that `debian_bundle` removes."""
    return f"debian-{gpu}-{architecture}"


def main() -> int:
    """Make the bundle, keep its record next to it, print the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--gpu", choices=sorted(BACKENDS), required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--mirror", default="")
    given = parser.parse_args()
    return debian_bundle.keep_and_print(
        lambda: make_bundle(given.architecture, given.gpu, given.cache, given.mirror),
        given.cache,
        stem(given.architecture, given.gpu),
    )


if __name__ == "__main__":
    sys.exit(main())
