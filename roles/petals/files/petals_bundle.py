"""Petals with all that it needs, as one archive for nodes of an architecture.

Runs on the controller, as any user, with a Python that has pip:

    petals_bundle.py --architecture amd64 --variant cpu --cache FOLDER [--torch-index URL]
    petals_bundle.py --architecture amd64 --variant cpu --cache FOLDER --only-name

Every package is the one of the lock file, by its hash. They are laid out as a virtual environment
of the node's own Python 3.11, which is found where Debian has it, so nothing is installed on a node
but this archive. Prints one line of JSON: the record of the bundle, or {"reason": "…"}.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FILES = Path(__file__).parent
VERSION = "2.2.0.post1"
PYTHON = (3, 11)
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
PROGRAMS = ("api", "check", "client", "server")
LAUNCHER = """#!/bin/sh
# Through the link, to the environment of this build; -I: nothing of the user's gets in.
exec "$(dirname "$(readlink -f "$0")")/../venv/bin/python" -I -m herd_petals.{} "$@"
"""
ENVIRONMENT = "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n"
PIP_SECONDS = 1800


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


def build_of(architecture: str, variant: str) -> str:
    """Name of the build: what its bytes follow from, in short."""
    digest = hashlib.sha256(f"{architecture} {variant} {ENVIRONMENT} {LAUNCHER}".encode())
    programs = sorted((FILES / "herd_petals").glob("*.py"))
    locks = sorted(FILES.glob(f"lock-{architecture}-{variant}.txt"))
    for path in (Path(__file__), FILES / "lock-sources.txt", *locks, *programs):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def pip(*arguments: str) -> None:
    """Run pip.

    Raises:
        BundleError: it failed; with the line in which it says why.
    """
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"pip {arguments[0]} took more than {PIP_SECONDS} s") from None
    if ran.returncode != 0:
        said = [line for line in ran.stderr.splitlines() if line.startswith("ERROR:")]
        words = (said or ran.stderr.splitlines() or ["it says nothing"])[-1]
        raise BundleError(f"pip {arguments[0]} failed: {words.removeprefix('ERROR: ')}")


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
    except BundleError:
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
    """The environment with everything in it, and the programs."""
    packages = staging / "venv/lib/python3.11/site-packages"
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
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(FILES / "herd_petals", packages / "herd_petals", ignore=ignored)
    (staging / "venv/bin").mkdir()
    (staging / "venv/bin/python").symlink_to("/usr/bin/python3.11")
    (staging / "venv/pyvenv.cfg").write_text(ENVIRONMENT)
    (staging / "bin").mkdir()
    for name in PROGRAMS:
        launcher = staging / f"bin/petals-{name}"
        launcher.write_text(LAUNCHER.format(name))
        launcher.chmod(0o755)


def is_compiled() -> bool:
    """Whether the code that pip compiles here is that of the nodes' Python."""
    return sys.version_info[:2] == PYTHON


def make_bundle(
    architecture: str, variant: str, cache: Path, torch_index: str
) -> dict[str, object]:
    """Download, lay out, pack; the record of what lies in the cache then."""
    build = build_of(architecture, variant)
    wheels = cache / f"wheels-{architecture}-{variant}"
    wheels.mkdir(parents=True, exist_ok=True)
    fetch(architecture, variant, wheels, torch_index)
    archive = cache / f"{architecture}-{variant}-{build}.tar.gz"
    with tempfile.TemporaryDirectory(dir=cache) as work:
        staging = Path(work, "staging")
        staging.mkdir()
        lay_out(architecture, variant, wheels, staging)
        unpacked = sum(path.lstat().st_size for path in staging.rglob("*"))
        # It travels once to each node, which unpacks it: fast is better than small.
        with tarfile.open(Path(work, "bundle"), "w:gz", compresslevel=1) as bundle:
            bundle.add(staging, arcname=".")
        Path(work, "bundle").replace(archive)
    return {
        "engine": "petals",
        "method": variant,
        "key": architecture,
        "build": build,
        "version": VERSION,
        "commit": None,
        "flags": None,
        "compiler": None,
        "compiled": is_compiled(),
        "archive": archive.name,
        "unpacked_mib": (unpacked >> 20) + 1,
    }


def main() -> int:
    """Make the bundle, keep its record beside it, print the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--variant", required=True, choices=sorted(LEFT_OUT))
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--torch-index", default="")
    parser.add_argument("--only-name", action="store_true", help="print the build's name")
    arguments = parser.parse_args()
    name = f"{arguments.architecture}-{arguments.variant}"
    if arguments.only_name:
        print(build_of(arguments.architecture, arguments.variant))
        return 0
    try:
        record = make_bundle(
            arguments.architecture, arguments.variant, arguments.cache, arguments.torch_index
        )
    except BundleError as error:
        print(json.dumps({"reason": str(error)}))
        return 0
    except OSError as error:
        print(f"Keeping Petals in {arguments.cache}: {error}", file=sys.stderr)
        return 1
    kept = arguments.cache / f"{name}.json"
    part = kept.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1, sort_keys=True))
    part.replace(kept)
    for archive in arguments.cache.glob(f"{name}-*.tar.gz"):
        if archive.name != record["archive"]:
            archive.unlink()
    print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
