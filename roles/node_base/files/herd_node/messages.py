"""Requests and replies: how the helper is spoken with."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from herd_node.allowed import Wish, Words, engine_of, ports_in, probed
from herd_node.cards import BACKENDS, MOST_GPUS
from herd_node.ground import RefusalError, printable
from herd_node.places import PROBE

UNIT_NAME = re.compile(r"herd-[a-z0-9.-]{1,110}")
LINE_BUFFERED = ["/usr/bin/stdbuf", "-oL"]
MOST_LINES = 20_000


class Request:
    """What is asked.

    Raises:
        RefusalError: it is longer than any that the toolkit makes, or holds a NUL, at which C ends.
    """

    def __init__(self, lines: list[str]) -> None:
        self.verb = lines[0] if re.fullmatch("[a-z]{1,20}", lines[0]) else "unknown"
        self.listed: dict[str, list[str]] = {"arg": [], "env": []}
        if len(lines) > MOST_LINES or any("\0" in line for line in lines):
            raise RefusalError(f"a request has at most {MOST_LINES} lines, and no NUL in them")
        for line in lines[1:]:
            key, _, value = line.partition("=")
            self.listed.setdefault(key, []).append(value)

    def text(self, key: str) -> str:
        """A value; empty if it was not given."""
        return self.listed.get(key, [""])[0]

    def number(self, key: str, most: int, *, least: int = 0, default: str = "") -> int:
        """A value that must be a whole number between two others."""
        text = self.text(key) or default
        if not re.fullmatch(r"[0-9]{1,15}", text):
            raise RefusalError(f"{key} must be a number and is {text[:60]!r}")
        if not least <= int(text) <= most:
            raise RefusalError(f"{key} must be between {least} and {most} and is {text}")
        return int(text)

    def unit(self) -> str:
        """The unit, which must be one of ours."""
        name = self.text("unit")
        if not UNIT_NAME.fullmatch(name):
            raise RefusalError(f"{name[:200]!r} is no name for a unit")
        return name

    def port(self) -> int | None:
        """A port that must listen; None if none was named."""
        return self.number("port", 65_535, least=1) if self.text("port") else None

    def ports(self, words: Words) -> set[int | None]:
        """Those on which an engine or the probe is to listen; None for one that does not.

        Args:
            words: what the engine may be given.

        Raises:
            RefusalError: it is to listen on a port that is not named.
        """
        program, *arguments = self.program() or [""]
        if program == PROBE:
            return {self.port(), probed(arguments)}
        return {self.port(), *(ports_in(words, arguments) if self.engine() else [])}

    def gpu(self) -> Wish | None:
        """Which GPU it is to use; None for one that is to use none.

        Raises:
            RefusalError: there is no such interface or number, or one is named twice.
        """
        named = [*self.listed.get("gpu", []), *self.listed.get("gpu_index", [])]
        if not named:
            return None
        backend = self.text("gpu")
        if backend not in BACKENDS:
            raise RefusalError(f"gpu must be {' or '.join(BACKENDS)} and is {backend[:60]!r}")
        return Wish(backend, self.gpu_index())

    def gpu_index(self) -> int:
        """The number of a GPU; 0 if none is named."""
        for key in ("gpu", "gpu_index"):
            if len(self.listed.get(key, [])) > 1:
                raise RefusalError(f"{key} is named twice")
        return self.number("gpu_index", MOST_GPUS - 1, default="0")

    def program(self) -> list[str]:
        """The engine's program, or the client, and its arguments."""
        argv = self.listed["arg"]
        return argv[2:] if argv[:2] == LINE_BUFFERED else argv

    def engine(self) -> str:
        """Whose program it is; empty for the client and the probe."""
        return engine_of(next(iter(self.program()), ""))


class Reply:
    """What is answered.

    Attributes:
        is_sent: whether it was written. A request has one reply, so later failures add none.
    """

    def __init__(self, verb: str) -> None:
        self.is_sent = False
        self._verb = verb
        self._pieces: list[bytes] = []

    def part(self, name: str, content: str | bytes) -> None:
        """Add a part."""
        data = content.encode("utf-8", "replace") if isinstance(content, str) else content
        self._pieces += [f"part {name} {len(data)}\n".encode(), data]

    def pairs(self, name: str, values: Mapping[str, object]) -> None:
        """Add a part of lines `key=value`; what is None is left out."""
        lines = (f"{key}={value}\n" for key, value in values.items() if value is not None)
        self.part(name, "".join(lines))

    def send(self, *, ok: bool = True) -> None:
        """Write it."""
        self.is_sent = True
        self._pieces.append(f"end {'ok' if ok else 'error'} {self._verb}\n".encode())
        data = memoryview(b"".join(self._pieces))
        while data:
            data = data[os.write(1, data) :]

    def refuse(self, why: object) -> None:
        """Write that it was not done, unless the reply was sent already."""
        if self.is_sent:
            return
        self.part("error", printable(str(why))[:2000])
        self.send(ok=False)
