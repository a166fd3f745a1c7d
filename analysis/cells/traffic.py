"""Units of traffic."""

from __future__ import annotations

KIB = 1024


def mbit_per_s(kib: float, milliseconds: float) -> float:
    """Mean rate in Mbit/s (10^6 bits) of that many KiB in that time."""
    return kib * KIB * 8 / 1000 / milliseconds
