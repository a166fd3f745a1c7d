"""The program: its arguments, a child that calls the driver, and the line that is printed."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sys
import time
from contextlib import suppress
from typing import Any

from herd_gpu import cuda, vulkan
from herd_gpu.ground import LONGEST_REASON, MOST_DEVICES, Device, GpuError

BACKENDS = {"vulkan": vulkan.prove, "cuda": cuda.prove}
USAGE = "usage: herd-gpu vulkan|cuda INDEX [SECONDS [CALLED]]\n"
ARGUMENTS = (
    r"(?P<backend>vulkan|cuda) (?P<index>[0-9]{1,3})"
    r"(?: (?P<seconds>[0-9]{1,4}(?:\.[0-9]{1,3})?)(?: (?P<called>[0-9]{1,3}))?)?"
)
SECONDS = 15.0
MOST_BYTES = 1 << 18
"""Of what the child reports."""


def main() -> int:
    """Print what there is and whether it computes."""
    given = re.fullmatch(ARGUMENTS, " ".join(sys.argv[1:]))
    if given is None:
        sys.stderr.write(USAGE)
        return 2
    index = int(given["index"])
    told = asked(given["backend"], index, float(given["seconds"] or SECONDS))
    for device in told["devices"]:
        device["index"] += int(given["called"] or index) - index
    sys.stdout.write(json.dumps(told) + "\n")
    return 0 if told["proof"] else 1


def asked(backend: str, index: int, seconds: float) -> dict[str, Any]:
    """What a child process finds out within that time."""
    told: dict[str, Any] = {"devices": [], "proof": False, "reason": None, "doing": "to start"}
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        work(backend, index, writing)
    os.close(writing)
    ended = heard(reading, told, time.monotonic() + seconds)
    with suppress(OSError):
        os.kill(child, signal.SIGKILL)
    if not told["proof"] and not told["reason"]:
        told["reason"] = unheard(told["doing"], child, seconds, ended=ended)
    return {
        "backend": backend,
        "devices": told["devices"],
        "proof": told["proof"],
        "reason": told["reason"],
    }


def unheard(doing: str, child: int, seconds: float, *, ended: bool) -> str:
    """Why a child said nothing at its end: a sentence."""
    if not ended:
        return f"The driver did not return from {doing} within {seconds:g} s."
    status = os.waitpid(child, 0)[1]
    how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "an early exit"
    return f"The driver ended the program in {doing} ({how})."


def heard(reading: int, told: dict[str, Any], until: float) -> bool:
    """Take in what a child reports, line by line; whether it came to its end in time."""
    received = b""
    taken = 0
    while taken < MOST_BYTES:
        if not select.select([reading], [], [], max(0.0, until - time.monotonic()))[0]:
            return False
        piece = os.read(reading, 65_536)
        if not piece:
            return True
        taken += len(piece)
        *lines, received = (received + piece).split(b"\n")
        for line in lines:
            with suppress(ValueError, TypeError):  # a driver may write into any file that is open
                told.update(json.loads(line))
    return False


def work(backend: str, index: int, writing: int) -> None:
    """Be the child: call the driver, whose own words go nowhere, report, and end."""
    report = Report(writing)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for own in (0, 1, 2):
        os.dup2(nowhere, own)
    try:
        BACKENDS[backend](index, report)
        report.send(proof=True)
    except GpuError as error:
        report.send(reason=str(error)[:LONGEST_REASON])
    except BaseException as error:  # noqa: BLE001 - whatever a driver's answer led to is a reason
        report.send(reason=f"herd-gpu failed: {type(error).__name__}: {error}"[:LONGEST_REASON])
    finally:
        os._exit(0)


class Report:
    """What the child reports, as lines of JSON."""

    def __init__(self, writing: int) -> None:
        self._writing = writing

    def calls(self, function: str) -> None:
        """A function of a driver is called now."""
        self.send(doing=function)

    def devices(self, found: list[Device]) -> None:
        """These were found, or more is known of them."""
        told = [one._asdict() for one in found[:MOST_DEVICES]]
        self.send(devices=[{"index": one.pop("number"), **one} for one in told])

    def send(self, **told: object) -> None:
        """Write a line."""
        os.write(self._writing, json.dumps(told).encode() + b"\n")
