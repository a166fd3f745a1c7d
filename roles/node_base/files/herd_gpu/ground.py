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


def library(name: str, missing: str) -> ctypes.CDLL:
    """A shared library. Raises GpuError: `missing`, or what keeps it from being loaded."""
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        told = word(str(error).encode())
        if told.startswith(f"{name}: cannot open shared object file: No such file"):
            raise GpuError(missing) from None
        raise GpuError(f"{name} cannot be loaded: {told}.") from None


def function_of(from_library: ctypes.CDLL, name: str, whose: str) -> Callable[..., int]:
    """A function of a library. Raises GpuError if it has none."""
    try:
        found: Callable[..., int] = getattr(from_library, name)
    except AttributeError:
        raise GpuError(f"{whose} is too old: it has no function {name}.") from None
    return found


def compare(found: ctypes.Array[ctypes.c_uint32], wanted: Callable[[int], int]) -> None:
    """Look at every number that a device wrote. Raises GpuError if one is wrong."""
    for place, number in enumerate(found):
        if number != wanted(place):
            raise GpuError(WRONG.format(wanted=wanted(place), found=number))
