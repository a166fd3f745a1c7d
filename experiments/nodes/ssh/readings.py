"""What the helper says about a unit, in systemd's words, and about the state of its node."""

from __future__ import annotations

import re

from collect.attempt import GpuReading, NodeReading
from core.foreign import decimal, one_line, whole
from experiments.nodes.launcher import UnitState

EXITED = "1"
"""CLD_EXITED of `waitid`, which systemd shows as ExecMainCode; 2 and 3 are signals."""
STATUSES = 256
"""Exit statuses and signals are less."""
_BITS = re.compile(r"(0x)?[0-9a-fA-F]{1,8}")
LONGEST_WORDS = 1000
RUNNING_STATES = ("active", "activating", "reloading")


def unit_state(shown: dict[str, str], *, still_running: bool | None = None) -> UnitState:
    """Read systemd's properties, named as `systemctl show` does.

    Args:
        shown: property to value.
        still_running: whether it lives, where ActiveState is not enough.
    """
    begun_us = whole(shown.get("ExecMainStartTimestamp"))
    started_us = whole(shown.get("ExecMainStartTimestampMonotonic"))
    ended_us = whole(shown.get("ExecMainExitTimestampMonotonic"))
    running = shown.get("ActiveState") in RUNNING_STATES and not ended_us
    if still_running is not None:
        running = still_running
    code, status = shown.get("ExecMainCode"), _below(whole(shown.get("ExecMainStatus")), STATUSES)
    ended = not running and bool(ended_us)
    cpu_ns = whole(shown.get("CPUUsageNSec"))
    peak_bytes = whole(shown.get("MemoryPeak"))
    lived_us = ended_us - started_us if ended and ended_us and started_us else -1
    return UnitState(
        running=running,
        exit_code=status if ended and code == EXITED else None,
        signal=status if ended and code != EXITED else None,
        result=None if running or "Result" not in shown else one_line(shown["Result"], 60),
        started_at=begun_us / 1e6 if begun_us else None,
        runtime_s=lived_us / 1e6 if lived_us >= 0 else None,
        cpu_s=None if cpu_ns is None else cpu_ns / 1e9,
        memory_peak_mib=None if peak_bytes is None else round(peak_bytes / 2**20, 3),
        received_bytes=whole(shown.get("IPIngressBytes")),
        sent_bytes=whole(shown.get("IPEgressBytes")),
    )


def node_reading(told: dict[str, str]) -> NodeReading:
    """Read the part `reading` of a reply."""
    frequency_khz = whole(told.get("frequency_khz"))
    temperature_mc = decimal(told.get("temperature_mc"))
    return NodeReading(
        clock_s=decimal(told.get("clock_s")),
        uptime_s=decimal(told.get("uptime_s")),
        throttled=_bits(told.get("throttled")),
        throttled_meanwhile=_bits(told.get("throttled_meanwhile")),
        temperature_c=None if temperature_mc is None else temperature_mc / 1000,
        frequency_mhz=None if frequency_khz is None else frequency_khz / 1000,
        swap_pages=whole(told.get("swap_pages")),
        link_mbit=whole(told.get("link_mbit")),
        gpu=_gpu_reading(told),
    )


def _gpu_reading(told: dict[str, str]) -> GpuReading | None:
    """The GPU's part of a reading; None where no process has one, or its driver is silent."""
    index = whole(told.get("gpu_index"))
    if index is None:
        return None
    used_by = told.get("gpu_used_by")
    return GpuReading(
        index=index,
        reasons=_bits(told.get("gpu_reasons")),
        reasons_meanwhile=_bits(told.get("gpu_reasons_meanwhile")),
        power_held_s=_scaled(told.get("gpu_power_held_ns"), 1e9),
        heat_held_s=_scaled(told.get("gpu_heat_held_ns"), 1e9),
        clock_mhz=whole(told.get("gpu_clock_mhz")),
        clock_meanwhile_mhz=whole(told.get("gpu_clock_meanwhile_mhz")),
        memory_clock_mhz=whole(told.get("gpu_memory_clock_mhz")),
        set_clock_mhz=whole(told.get("gpu_set_clock_mhz")),
        set_memory_clock_mhz=whole(told.get("gpu_set_memory_clock_mhz")),
        power_limit_w=_scaled(told.get("gpu_power_limit_mw"), 1e3),
        power_default_w=_scaled(told.get("gpu_power_default_mw"), 1e3),
        temperature_c=decimal(told.get("gpu_temperature_c")),
        used_by=None if used_by is None else one_line(used_by, LONGEST_WORDS),
    )


def _scaled(text: str | None, by: float) -> float | None:
    number = whole(text)
    return None if number is None else number / by


def _bits(text: str | None) -> int | None:
    return int(text, 16) if text and _BITS.fullmatch(text) else None


def _below(number: int | None, bound: int) -> int | None:
    """A number that cannot be so large is not known."""
    return number if number is not None and number < bound else None
