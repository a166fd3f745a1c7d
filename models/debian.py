"""Packages of Debian and Ubuntu, fetched with apt's own checks and without touching the system.

Needs apt and dpkg, no root, and of the system's apt its list of mirrors and its keys alone. Nothing
but the standard library: the roles' programs use it with any Python of the controller.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.clients import environment_for_clients

_TIMEOUT_S = 300
_DOWNLOAD_S = 3600
"""CUDA's packages are 330 MB. apt itself ends a download that stops."""
_KEYRINGS = "/usr/share/keyrings"
_CHECKED = {
    "Acquire::AllowInsecureRepositories": "false",
    "Acquire::AllowDowngradeToInsecureRepositories": "false",
    "Acquire::AllowWeakRepositories": "false",
    "APT::Get::AllowUnauthenticated": "false",
}
"""Signatures are checked even where this machine's apt is configured not to."""


class DebianError(Exception):
    """Why there are no packages, one sentence."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite of a mirror.

    Attributes:
        uri: of the mirror.
        suite: such as `bookworm`.
        components: such as `main`, with blanks between.
        distribution: `debian` or `ubuntu`, whose keys check it.
    """

    uri: str
    suite: str
    components: str = "main"
    distribution: str = "debian"

    def keyring(self) -> str:
        """The file of keys on this machine.

        Raises:
            DebianError: it has none.
        """
        paths = [f"{_KEYRINGS}/{self.distribution}-archive-keyring.{end}" for end in ("gpg", "pgp")]
        for path in paths:
            if Path(path).exists():
                return path
        raise DebianError(
            f"the controller does not have the keys that verify the packages, {paths[0]}: sudo "
            f"apt-get install {self.distribution}-archive-keyring"
        )


def run(*command: str, folder: Path | None = None, timeout_s: int = _TIMEOUT_S) -> str:
    """Standard output of a command.

    Raises:
        DebianError: it failed; with its last words.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=environment_for_clients(LC_ALL="C", DEBIAN_FRONTEND="noninteractive"),
            timeout=timeout_s,
        )
    except FileNotFoundError:
        raise DebianError(f"{command[0]} is not installed on the controller") from None
    except subprocess.TimeoutExpired:
        raise DebianError(f"{command[0]} took more than {timeout_s} s") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        words = " ".join((" ".join(said[:2]) or done.stderr).split())
        raise DebianError(f"{command[0]}: {words[:300]}")
    return done.stdout


def own_mirror(distributions: Sequence[str]) -> tuple[str, str] | None:
    """The mirror that this machine's own apt uses.

    Args:
        distributions: those that will do, as they call themselves (`Debian`, `Ubuntu`).

    Returns:
        Its address and its distribution; None if apt has no lists of any of them.

    Raises:
        DebianError: there is no apt.
    """
    told = run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)")
    for line in told.splitlines():
        origin, label, uri = line.split("|", 2)
        if origin in distributions and label == origin and not uri.startswith("cdrom:"):
            return uri, origin
    return None


class PrivateApt:
    """apt with its own sources, lists and archives: the system's stay as they are.

    Args:
        folder: for all of it; empty.
        architecture: of the packages, which may be another than this machine's.
        source: where they come from.
        given: packages that are taken as installed already.

    Raises:
        DebianError: the source has no address, no keys here, or no lists that they signed.
    """

    def __init__(
        self, folder: Path, architecture: str, source: Suite, given: Sequence[str] = ()
    ) -> None:
        if re.search(r"\s", source.uri) or ":/" not in source.uri:
            raise DebianError(
                f"{source.uri!r} is not the address of a mirror, such as "
                "http://deb.debian.org/debian"
            )
        folder = folder.absolute()  # apt is started elsewhere
        self._archives = folder / "archives"
        for part in ("lists/partial", "archives/partial", "log"):
            (folder / part).mkdir(parents=True)
        (folder / "mirror.sources").write_text(
            f"Types: deb\nURIs: {source.uri}\nSuites: {source.suite}\n"
            f"Components: {source.components}\nSigned-By: {source.keyring()}\n"
        )
        (folder / "status").write_text(
            "\n".join(
                f"Package: {name}\nStatus: install ok installed\nVersion: 9999\n"
                f"Architecture: {architecture}\nMulti-Arch: foreign\nMaintainer: none\n"
                "Description: taken as given\n"
                for name in given
            )
        )
        self._options = [
            f"--option={key}={value}"
            for key, value in {
                **_CHECKED,
                "APT::Architecture": architecture,
                "APT::Architectures": architecture,
                "APT::Sandbox::User": "root",
                "APT::Update::Post-Invoke-Success::": "true",
                "Acquire::Languages": "none",
                "Acquire::http::Timeout": "20",
                "Acquire::https::Timeout": "20",
                "Acquire::Retries": "1",
                "Dir::Cache::archives": self._archives,
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
        # A failed download of lists is only a warning to apt unless told otherwise.
        self._apt("--error-on=any", "--quiet", "update")

    def with_dependencies(self, packages: Sequence[str]) -> list[Path]:
        """The packages and all that they need, signatures checked by apt."""
        install = ("--no-install-recommends", "--download-only", "--yes", "--quiet", "install")
        self._apt(*install, *packages)
        return sorted(self._archives.glob("*.deb"))

    def alone(self, packages: Sequence[str]) -> list[Path]:
        """Fetch the packages and no others, signatures checked by apt."""
        self._apt("--quiet", "download", *packages)
        return sorted(self._archives.glob("*.deb"))

    def _apt(self, *arguments: str) -> None:
        run("apt-get", *self._options, *arguments, folder=self._archives, timeout_s=_DOWNLOAD_S)


def versions(debs: Sequence[Path]) -> dict[str, dict[str, str]]:
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


def unpack_packages(debs: Sequence[Path], folder: Path) -> None:
    """Unpack the files of packages below a folder; none of their scripts is run."""
    for deb in debs:
        run("dpkg-deb", "--extract", str(deb), str(folder))
