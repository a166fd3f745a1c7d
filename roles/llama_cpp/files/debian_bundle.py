"""llama.cpp from the distribution's development suite, as one archive for nodes of any release.

Runs on the controller, as any user, and touches nothing of the system's apt but its list of
mirrors and its keys:

    debian_bundle.py --architecture amd64 --cache FOLDER [--mirror URI]

Prints one line of JSON: the record of the bundle, or {"reason": "…"} when there is none.

The packages need a newer C library than most nodes have, so they bring their own along with its
loader, and a wrapper starts each program through that. ggml looks for its backends beside the
running executable, which is the loader: so the loader lies among the backends.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from models.clients import environment_for_clients
from models.unpack import pack

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
APT_TIMEOUT_SECONDS = 300


class BundleError(Exception):
    """Why there is no bundle, one sentence."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a distribution keeps its newest packages and the keys to check them."""

    suite: str
    components: str
    keyring: str


ORIGINS = {
    "Debian": Origin("sid", "main", "/usr/share/keyrings/debian-archive-keyring.gpg"),
    "Ubuntu": Origin("devel", "main universe", "/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
}


def run(*command: str) -> str:
    """Standard output of a command; BundleError with its last words when it fails."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=environment_for_clients(LC_ALL="C", DEBIAN_FRONTEND="noninteractive"),
            timeout=APT_TIMEOUT_SECONDS,
        )
    except FileNotFoundError:
        raise BundleError(f"the controller has no {command[0]}") from None
    except subprocess.TimeoutExpired:
        raise BundleError(f"{command[0]} took more than {APT_TIMEOUT_SECONDS} s") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        raise BundleError(f"{command[0]}: {bounded(' '.join(said[:2]) or done.stderr)}")
    return done.stdout


def bounded(text: str) -> str:
    """The text on one line, bounded."""
    return " ".join(text.split())[:300]


def find_mirror(given: str) -> tuple[str, Origin]:
    """The mirror that the controller's own apt uses, and what kind it is."""
    if given:
        return given, ORIGINS["Debian"]
    told = run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)")
    for line in told.splitlines():
        origin, label, uri = line.split("|", 2)
        if origin in ORIGINS and label == origin:
            return uri, ORIGINS[origin]
    raise BundleError(
        "the controller's apt has no lists of Debian or Ubuntu: run `apt-get update` there, "
        "or set llama_cpp_debian_mirror"
    )


class PrivateApt:
    """apt with its own sources, lists and archives: the system's stay as they are."""

    def __init__(self, folder: Path, architecture: str, mirror: str, origin: Origin) -> None:
        self.archives = folder / "archives"
        for part in ("lists/partial", "archives/partial", "log"):
            (folder / part).mkdir(parents=True)
        (folder / "mirror.sources").write_text(
            f"Types: deb\nURIs: {mirror}\nSuites: {origin.suite}\n"
            f"Components: {origin.components}\nSigned-By: {origin.keyring}\n"
        )
        (folder / "status").write_text(
            "\n".join(
                f"Package: {name}\nStatus: install ok installed\nVersion: 9999\n"
                f"Architecture: {architecture}\nMulti-Arch: foreign\nMaintainer: none\n"
                "Description: taken as given\n"
                for name in NOT_NEEDED
            )
        )
        self.options = [
            f"--option={key}={value}"
            for key, value in {
                "APT::Architecture": architecture,
                "APT::Architectures": architecture,
                "APT::Sandbox::User": "root",
                "APT::Update::Post-Invoke-Success::": "true",
                "Acquire::Languages": "none",
                "Acquire::http::Timeout": "20",
                "Acquire::https::Timeout": "20",
                "Acquire::Retries": "1",
                "Dir::Cache::archives": self.archives,
                "Dir::Cache::pkgcache": "",
                "Dir::Cache::srcpkgcache": "",
                "Dir::Etc::sourcelist": folder / "mirror.sources",
                "Dir::Etc::sourceparts": "/dev/null",
                "Dir::Etc::preferences": "/dev/null",
                "Dir::Etc::preferencesparts": "/dev/null",
                "Dir::Log": folder / "log",
                "Dir::State::lists": folder / "lists",
                "Dir::State::status": folder / "status",
            }.items()
        ]

    def download(self, packages: tuple[str, ...]) -> list[Path]:
        """The packages and all that they need, signatures checked by apt."""
        # A failed download of lists is only a warning to apt unless told otherwise.
        run("apt-get", *self.options, "--error-on=any", "--quiet", "update")
        install = ("--no-install-recommends", "--download-only", "--yes", "--quiet", "install")
        run("apt-get", *self.options, *install, *packages)
        return sorted(self.archives.glob("*.deb"))


def versions(debs: list[Path]) -> dict[str, dict[str, str]]:
    """Version and SHA-256 of each package, by name."""
    found = {}
    for deb in debs:
        name, version = run(
            "dpkg-deb", "--show", "--showformat=${Package} ${Version}", str(deb)
        ).split()
        found[name] = {
            "version": version,
            "sha256": hashlib.sha256(deb.read_bytes()).hexdigest(),
        }
    return found


def one(root: Path, pattern: str) -> Path:
    """The one file of a pattern; BundleError when upstream moved it."""
    found = sorted(path for path in root.glob(pattern) if not path.is_dir())
    if not found:
        raise BundleError(f"the packages hold no {pattern}")
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
    """Download, unpack, pack; the record of what lies in the cache then."""
    mirror, origin = find_mirror(given_mirror)
    if not Path(origin.keyring).exists():
        raise BundleError(
            f"the controller lacks the keys to check the packages, {origin.keyring}: "
            "install the archive keyring of that distribution"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        debs = PrivateApt(Path(work, "apt"), architecture, mirror, origin).download(PACKAGES)
        packages = versions(debs)
        for deb in debs:
            run("dpkg-deb", "--extract", str(deb), str(Path(work, "root")))
        # The layout is this program's doing, so the program is a part of what a build is.
        recipe = Path(__file__).read_text() + json.dumps(packages, sort_keys=True)
        build = hashlib.sha256(recipe.encode()).hexdigest()[:16]
        staging = Path(work, "staging")
        staging.mkdir()
        lay_out(Path(work, "root"), staging, build)
        unpacked = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
        archive = cache / f"debian-{architecture}-{build}.tar.gz"
        pack(staging, Path(work, "bundle"))
        archive_sha256 = hashlib.sha256(Path(work, "bundle").read_bytes()).hexdigest()
        Path(work, "bundle").replace(archive)
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
        "suite": origin.suite,
        "archive": archive.name,
        "archive_sha256": archive_sha256,
        "unpacked_mib": (unpacked >> 20) + 1,
    }


def main() -> int:
    """Make the bundle, keep its record beside it, print the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--mirror", default="")
    arguments = parser.parse_args()
    try:
        record = make_bundle(arguments.architecture, arguments.cache, arguments.mirror)
    except BundleError as error:
        print(json.dumps({"reason": str(error)}))
        return 0
    except OSError as error:
        print(f"Keeping llama.cpp in {arguments.cache}: {error}", file=sys.stderr)
        return 1
    kept = arguments.cache / f"debian-{arguments.architecture}.json"
    part = kept.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1, sort_keys=True))
    part.replace(kept)
    for archive in arguments.cache.glob(f"debian-{arguments.architecture}-*.tar.gz"):
        if archive.name != record["archive"]:
            archive.unlink()
    print(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
