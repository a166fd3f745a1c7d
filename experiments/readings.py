"""What the helper's replies say about a unit and about the state of a node."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from collect.attempt import NodeReading
from models.foreign import LARGEST_COUNT, one_line

EXITED = "1"
"""CLD_EXITED of `waitid`, which systemd shows as ExecMainCode; 2 and 3 are signals."""
RUNNING_STATES = ("active", "activating", "reloading")


@dataclass(frozen=True, slots=True)
class UnitState:
    """A unit as the node's systemd saw it; names as in `collect.attempt.ProcessRecord`."""

    running: bool
    exit_code: int | None
    signal: int | None
    result: str | None
    started_at: float | None
    runtime_s: float | None
    cpu_s: float | None
    memory_peak_mib: float | None
    received_bytes: int | None
    sent_bytes: int | None


def unit_state(shown: dict[str, str], *, still_running: bool | None = None) -> UnitState:
    """Read systemd's properties, named as `systemctl show` does.

    Args:
        shown: property to value.
        still_running: whether it lives, where ActiveState cannot tell.
    """
    begun_us = _count(shown.get("ExecMainStartTimestamp"))
    started_us = _count(shown.get("ExecMainStartTimestampMonotonic"))
    ended_us = _count(shown.get("ExecMainExitTimestampMonotonic"))
    running = shown.get("ActiveState") in RUNNING_STATES and not ended_us
    if still_running is not None:
        running = still_running
    code, status = shown.get("ExecMainCode"), _count(shown.get("ExecMainStatus"))
    ended = not running and bool(ended_us)
    cpu_ns = _count(shown.get("CPUUsageNSec"))
    peak_bytes = _count(shown.get("MemoryPeak"))
    return UnitState(
        running=running,
        exit_code=status if ended and code == EXITED else None,
        signal=status if ended and code != EXITED else None,
        result=None if running else one_line(shown.get("Result", "")) or None,
        started_at=begun_us / 1e6 if begun_us else None,
        runtime_s=_positive((ended_us - started_us) / 1e6)
        if ended and ended_us and started_us
        else None,
        cpu_s=None if cpu_ns is None else cpu_ns / 1e9,
        memory_peak_mib=None if peak_bytes is None else round(peak_bytes / 2**20, 3),
        received_bytes=_count(shown.get("IPIngressBytes")),
        sent_bytes=_count(shown.get("IPEgressBytes")),
    )


def _positive(value: float) -> float | None:
    return value if value >= 0 else None


def node_reading(told: dict[str, str]) -> NodeReading:
    """Read the part `reading` of a reply."""
    frequency_khz = _count(told.get("frequency_khz"))
    temperature_mc = _number(told.get("temperature_mc"))
    return NodeReading(
        clock_s=_number(told.get("clock_s")),
        uptime_s=_number(told.get("uptime_s")),
        throttled=_bits(told.get("throttled")),
        throttled_meanwhile=_bits(told.get("throttled_meanwhile")),
        temperature_c=None if temperature_mc is None else temperature_mc / 1000,
        frequency_mhz=None if frequency_khz is None else frequency_khz / 1000,
        swap_pages=_count(told.get("swap_pages")),
        link_mbit=_count(told.get("link_mbit")),
    )


def _count(text: str | None) -> int | None:
    if text is None or not re.fullmatch(r"[0-9]{1,20}", text):
        return None
    # For a counter that the kernel does not keep systemd shows 2^64 - 1.
    return int(text) if int(text) <= LARGEST_COUNT else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None


def _bits(text: str | None) -> int | None:
    return int(text, 16) if text and re.fullmatch(r"(0x)?[0-9a-fA-F]{1,8}", text) else None
