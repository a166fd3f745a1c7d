"""What all modules of the helper use: the refusal, bounds, and small files read whole."""

from __future__ import annotations

import os

PIECE_BYTES = 1 << 20
DAY_S = 86_400
GONE_S = 15.0
"""How long a unit may take to stop; systemd kills it after `TimeoutStopUSec`."""


class RefusalError(Exception):
    """Why a request is not carried out."""


def printable(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def first_line(path: str) -> str:
    """The first line of a file; empty if there is no such."""
    try:
        with open(path, "rb") as file:
            return file.readline(4096).decode("utf-8", "replace").strip().strip("\0")
    except OSError:
        return ""


def content(path: str) -> str:
    """A small file; empty if there is no such."""
    try:
        with open(path, "rb") as file:
            return file.read(PIECE_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def entries(folder: str) -> list[str]:
    """Names in a folder; none if there is no such folder."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
