"""The machine that is looked at: its files, and what its programs say."""

from __future__ import annotations

import glob
import os
import pwd
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 20
"""How long a program that is asked may take."""
PLAIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where systemd looks for the programs of its units."""


@dataclass(frozen=True)
class ProgramResult:
    """What a program answered.

    Attributes:
        code: its exit code; None if it is not there or took too long.
    """

    code: int | None
    out: str = ""
    err: str = ""


def run_program(argv: list[str], environment: dict[str, str], seconds: float) -> ProgramResult:
    """Run a program that only reads, away from any terminal."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except OSError:
        return ProgramResult(None)
    try:
        told = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # It is not waited for: one that runs as root, as sudo does, cannot be ended by this user.
        with suppress(OSError):
            process.kill()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        return ProgramResult(None)
    out, err = (text.decode("utf-8", "replace").strip() for text in told)
    return ProgramResult(process.returncode, out, err)


@dataclass(frozen=True)
class Place:
    """A machine's file tree, seen from a root folder, and its programs.

    Attributes:
        root: `/` on a node; a prepared folder in tests. Paths given and returned are without it.
        home: home folder of the user that looks.
        run: starts a program: its arguments, environment and seconds.
    """

    root: Path = Path("/")
    home: str = field(default_factory=lambda: pwd.getpwuid(os.getuid()).pw_dir)
    run: Callable[[list[str], dict[str, str], float], ProgramResult] = run_program

    def path(self, path: str) -> Path:
        """Resolve a path of the machine."""
        return self.root / path.lstrip("/")

    def told(self, path: str | os.PathLike[str]) -> str:
        """A real path as the machine itself calls it."""
        text = str(path)
        root = str(self.root).rstrip("/")
        return text[len(root) :] if root and text.startswith(f"{root}/") else text

    def real(self, path: str | None) -> str | None:
        """A path without links; None for none."""
        return self.told(self.path(path).resolve()) if path else None

    def data(self, path: str, most_bytes: int = 1 << 26) -> bytes:
        """A file's content; empty if there is none or it may not be read."""
        try:
            with self.path(path).open("rb") as file:
                return file.read(most_bytes)
        except OSError:
            return b""

    def text(self, path: str) -> str:
        """A file's text without blanks and NUL at its end; empty if there is none."""
        return self.data(path).decode("utf-8", "replace").strip().strip("\0")

    def exists(self, path: str) -> bool:
        """Return whether there is something that may be read."""
        return os.path.lexists(self.path(path))

    def found(self, *patterns: str) -> list[str]:
        """Paths that one of the patterns fits, each once; what may not be read is left out."""
        names: dict[str, None] = {}
        # Unlike pathlib, glob and os.path pass by folders that may not be read.
        for pattern in patterns:
            below = glob.escape(str(self.root).rstrip("/"))
            for name in sorted(glob.glob(f"{below}/{pattern.lstrip('/')}")):
                names[self.told(name)] = None
        return list(names)

    def program(self, name: str, path: str = PLAIN_PATH) -> str | None:
        """Where a search path has a program."""
        for folder in path.split(":"):
            if self.is_program(f"{folder}/{name}"):
                return f"{folder}/{name}"
        return None

    def is_open(self, folder: str) -> bool:
        """Whether this user may look into a folder."""
        return os.access(self.path(folder), os.R_OK | os.X_OK)

    def is_folder(self, path: str) -> bool:
        """Return whether there is a folder."""
        return os.path.isdir(self.path(path))

    def is_program(self, path: str) -> bool:
        """Whether it can be run."""
        return os.path.isfile(self.path(path)) and os.access(self.path(path), os.X_OK)

    def units(self, *names: str) -> list[str]:
        """Those services of systemd that are installed."""
        places = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
        return [
            name
            for name in names
            if any(self.exists(f"{place}/{name}.service") for place in places)
        ]

    def ask(self, *argv: str, seconds: float = SECONDS, **environment: str) -> ProgramResult:
        """What a program says, in the plain environment and English."""
        plain = {
            "PATH": PLAIN_PATH,
            "HOME": str(self.path(self.home)),
            "LC_ALL": "C",
            **environment,
        }
        return self.run(list(argv), plain, seconds)


def first_group(pattern: str, text: str) -> str | None:
    """The first group of the first line that a pattern fits."""
    match = re.search(pattern, text, re.MULTILINE)
    return (match[1].strip() or None) if match else None
