"""What all modules of the program use: the reason, a device, and words that can be printed."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import NamedTuple, Protocol

MOST_DEVICES = 16
LONGEST_WORD = 200
LONGEST_REASON = 600
MIB = 1 << 20
BUFFER_BYTES = 4096
COUNT = BUFFER_BYTES // 4
"""Numbers of 32 bits in the buffer of a proof."""
WRONG = "It computes wrong: a program on it should have written {wanted:#x} and wrote {found:#x}."


class GpuError(Exception):
    """Why there is no proof: a sentence."""


class Device(NamedTuple):
    """A device, as its interface describes it.

    Attributes:
        number: in the order of the interface.
        kind: discrete, integrated, virtual, software or other.
        memory_mib: its own memory.
        free_mib: of that; all of it where the driver does not say.
    """

    number: int
    name: str
    kind: str
    memory_mib: int
    free_mib: int
    driver: str


class Told(Protocol):
    """Who hears what the drivers say, while they are asked."""

    def calls(self, function: str) -> None:
        """A function of a driver is called now."""

    def devices(self, found: list[Device]) -> None:
        """These were found, or more is known of them."""


def word(data: bytes) -> str:
    """A text of a driver, printable and no longer than a word may be."""
    text = data.partition(b"\0")[0].decode("utf-8", "replace").strip()
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:LONGEST_WORD]


class Library:
    """The shared library of an interface.

    Args:
        told: hears which function is called.
        name: of the file.
        missing: a sentence for where there is none.

    Raises:
        GpuError: it is not there or cannot be loaded.
    """

    def __init__(self, told: Told, name: str, missing: str) -> None:
        self._told = told
        self._name = name
        told.calls(f"loading {name}")
        try:
            self._loaded = ctypes.CDLL(name)
        except OSError as error:
            why = word(str(error).encode())
            if why.startswith(f"{name}: cannot open shared object file: No such file"):
                raise GpuError(missing) from None
            raise GpuError(f"{name} cannot be loaded: {why}.") from None

    def result_of(self, function: str, *arguments: object) -> int:
        """Call a function; its result. Raises GpuError if the library has none of that name."""
        try:
            found: Callable[..., int] = getattr(self._loaded, function)
        except AttributeError:
            raise GpuError(f"{self._name} is too old: it has no function {function}.") from None
        self._told.calls(function)
        return found(*arguments)


def compare(found: ctypes.Array[ctypes.c_uint32], wanted: Callable[[int], int]) -> None:
    """Look at every number that a device wrote. Raises GpuError if one is wrong."""
    for place, number in enumerate(found):
        if number != wanted(place):
            raise GpuError(WRONG.format(wanted=wanted(place), found=number))
