"""The packages that Petals needs, laid out for nodes of an architecture, as one archive.

Every package is the one of the lock file, by its hash. The archive follows from nothing but the
lock files and what is done to the packages here (`RECIPE`), and is made once; llama-herd's own
programs are no part of it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from core.digest import sha256_of
from models.pip import PipError, pip

FILES = Path(__file__).parent
PYTHON = (3, 11)
RECIPE = 1
"""Of `lay_out`. Another one is another environment: nodes get all the packages again."""
PLATFORMS = {
    "amd64": (
        "manylinux_2_28_x86_64",
        "manylinux2014_x86_64",
        "manylinux2010_x86_64",
        "manylinux1_x86_64",
    ),
    "arm64": ("manylinux_2_28_aarch64", "manylinux2014_aarch64"),
}
LEFT_OUT = {
    "cpu": ("torch/include", "torch/test", "bitsandbytes/libbitsandbytes_cuda*"),
    "cuda": ("torch/include", "torch/test"),
}
"""What no program loads here, by variant: a third of all."""


class BundleError(Exception):
    """Why there is no bundle, one sentence."""


def lock_file(architecture: str, variant: str) -> Path:
    """The packages of a variant on an architecture.

    Raises:
        BundleError: there is no such variant.
    """
    path = FILES / f"lock-{architecture}-{variant}.txt"
    if not path.is_file():
        known = sorted(path.stem.removeprefix("lock-") for path in FILES.glob("lock-*-*.txt"))
        raise BundleError(
            f"Petals cannot be had for {architecture} with variant {variant}: not all its packages "
            f"have wheels for that (there are {', '.join(known)})"
        )
    return path


def name_of(architecture: str, variant: str) -> str:
    """Name of the environment: what its files follow from, in short."""
    recipe = (RECIPE, PYTHON, architecture, PLATFORMS.get(architecture), LEFT_OUT.get(variant))
    digest = hashlib.sha256(repr((*recipe, variant)).encode())
    locks = sorted(FILES.glob(f"lock-{architecture}-{variant}.txt"))
    for path in (FILES / "lock-sources.txt", *locks):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def fetch(architecture: str, variant: str, wheels: Path, torch_index: str) -> None:
    """Have every wheel, checked by its hash; what is there is not fetched again."""
    platforms = [word for name in PLATFORMS[architecture] for word in ("--platform", name)]
    download = (
        "download",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
        f"--python-version={PYTHON[0]}.{PYTHON[1]}",
        *platforms,
        f"--find-links={wheels}",
        f"--dest={wheels}",
    )
    lines = lock_file(architecture, variant).read_text().splitlines(keepends=True)
    torch = wheels / "torch.txt"
    torch.write_text("".join(line for line in lines if line.startswith("torch==")))
    others = wheels / "others.txt"
    others.write_text("".join(line for line in lines if not line.startswith("torch==")))
    pip(*download, f"--requirement={others}")
    # A PyTorch for CPUs only may not be on the package index, whose own brings gigabytes of CUDA.
    try:
        pip(*download, f"--requirement={torch}")
    except PipError:
        if not torch_index:
            raise
        pip(*download, f"--extra-index-url={torch_index}", f"--requirement={torch}")
    if not all(list(wheels.glob(f"{name}-*.whl")) for name in source_names()):
        sources = FILES / "lock-sources.txt"
        pip(
            "wheel",
            "--no-deps",
            "--require-hashes",
            f"--wheel-dir={wheels}",
            f"--requirement={sources}",
        )


def source_names() -> list[str]:
    """Packages that are published as sources only (plain Python), as files spell them."""
    lines = (FILES / "lock-sources.txt").read_text().splitlines()
    return [line.partition("==")[0].replace("-", "_") for line in lines]


def wanted_wheels(architecture: str, variant: str, wheels: Path) -> list[str]:
    """The files of the wheels that the lock names."""
    lines = lock_file(architecture, variant).read_text().splitlines()
    named = dict(line.partition(" ")[0].split("==") for line in lines)
    sources = dict.fromkeys(source_names(), "")
    spelled = {re.sub(r"[-_.]+", "_", name).lower(): version for name, version in named.items()}
    found = []
    for path in sorted(wheels.glob("*.whl")):
        name, version, *_ = path.name.split("-")
        wanted = {**spelled, **sources}.get(re.sub(r"[-_.]+", "_", name).lower())
        if wanted is not None and wanted in ("", version):
            found.append(str(path))
    return found


def lay_out(architecture: str, variant: str, wheels: Path, staging: Path) -> None:
    """The packages where a Python 3.11 finds them below its `lib`."""
    packages = staging / "python3.11/site-packages"
    platforms = [word for name in PLATFORMS[architecture] for word in ("--platform", name)]
    pip(
        "install",
        "--no-deps",
        "--no-index",
        "--only-binary=:all:",
        f"--python-version={PYTHON[0]}.{PYTHON[1]}",
        *platforms,
        *(() if is_compiled() else ("--no-compile",)),
        f"--target={packages}",
        *wanted_wheels(architecture, variant, wheels),
    )
    for pattern in LEFT_OUT[variant]:
        for path in packages.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(packages / "bin", ignore_errors=True)


def is_compiled() -> bool:
    """Whether the code that pip compiles here is that of the nodes' Python."""
    return sys.version_info[:2] == PYTHON


def pack(folder: Path, archive: Path, level: int) -> int:
    """Make an archive of a folder, whole or not at all, even if another process makes the same.

    Returns:
        What it takes unpacked, in MiB.
    """
    with tempfile.TemporaryDirectory(dir=archive.parent) as work:
        part = Path(work, archive.name)
        with tarfile.open(part, "w:gz", compresslevel=level) as packed:
            packed.add(folder, arcname=".", filter=of_root)
        part.replace(archive)
    return (sum(path.lstat().st_size for path in folder.rglob("*")) >> 20) + 1


def of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Make a file as nodes need it: root's, writable by root alone, without setuid."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode &= 0o755
    return entry


def archive_of(architecture: str, variant: str, cache: Path) -> Path:
    """Return where the packages are, packed."""
    return cache / f"environment-{architecture}-{variant}-{name_of(architecture, variant)}.tar.gz"


def record_of(archive: Path) -> Path:
    """Return the record of an archive's content."""
    return archive.with_name(f"{archive.name.removesuffix('.tar.gz')}.json")


def have_environment(
    architecture: str, variant: str, cache: Path, torch_index: str
) -> dict[str, Any]:
    """Download, unpack, pack, unless the cache has it already.

    Returns:
        Its `name`, its `archive` and `archive_sha256`, what it takes `unpacked_mib`, and whether
        its code is `compiled`.

    Raises:
        BundleError: it cannot be made; with the reason.
    """
    name = name_of(architecture, variant)
    archive = archive_of(architecture, variant, cache)
    kept = record_of(archive)
    known = read_record(kept)
    is_there = archive.is_file() and known.get("name") == name
    if is_there and sha256_of(archive) == known.get("archive_sha256"):
        return {**known, "archive": str(archive)}
    wheels = cache / f"wheels-{architecture}-{variant}"
    wheels.mkdir(parents=True, exist_ok=True)
    fetch(architecture, variant, wheels, torch_index)
    with tempfile.TemporaryDirectory(dir=cache) as staging:
        lay_out(architecture, variant, wheels, Path(staging))
        Path(staging).chmod(0o755)
        # It travels once to each node, which unpacks it: fast is better than small.
        unpacked_mib = pack(Path(staging), archive, level=1)
    record = {
        "name": name,
        "archive_sha256": sha256_of(archive),
        "unpacked_mib": unpacked_mib,
        "compiled": is_compiled(),
    }
    part = kept.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1, sort_keys=True))
    part.replace(kept)
    return {**record, "archive": str(archive)}


def read_record(path: Path) -> dict[str, Any]:
    """Return what is known of the environment in the cache; nothing if it cannot be read."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
