"""Whether a GPU computed at the speed that it has: the rules for NVIDIA's, by NVML.

A power limit is part of the machine where its user chose it: one below the maker's, or of a GPU
whose limit cannot be read, as in laptops. Only the maker's own limit invalidates: how much it holds
clocks back depends on the room's temperature and the GPU's age, and a user can replace it.
"""

from __future__ import annotations

from collections.abc import Iterator

from collect.attempt import GpuReading

POWER_CAP = 0x4
HEAT = 0x20 | 0x40
HARDWARE = 0x8 | 0x80
"""Bits of `nvmlClocksEventReasons`: power limit; heat, by driver or hardware; hardware's own
slow-down, and its power brake."""
COUNTED_S = 0.15
"""Drivers count in steps of 0.1 s: one step may have begun before the trial."""
CALM_SHARE = 0.85
"""Of the maker's power limit: an example for a limit that holds at any temperature."""


def slow_downs(before: GpuReading, after: GpuReading) -> Iterator[str]:
    """Find why the GPU was slower than it can be, or other than before, between two readings."""
    if before.reasons is not None and after.reasons is None:
        yield (
            "its GPU's driver stopped answering meanwhile, so no one knows whether the GPU was "
            "slowed down: restart the machine"
        )
    seen = (before.reasons or 0) | (after.reasons or 0) | (after.reasons_meanwhile or 0)
    hot = _risen(before.heat_held_s, after.heat_held_s)
    # Hardware that slows down for heat sets the bit for hardware, too.
    if seen & HEAT or hot > COUNTED_S:
        degrees = "" if after.temperature_c is None else f" ({after.temperature_c:.0f} °C after it)"
        yield (
            f"its GPU was slowed down because of heat{degrees}: give it more air, or a lower power "
            f"limit ({_set_limit(after)})"
        )
    elif seen & HARDWARE:
        yield (
            "its GPU was slowed down by its hardware, which happens when its power supply is too "
            "weak or a power cable is loose"
        )
    capped = _risen(before.power_held_s, after.power_held_s)
    if (seen & POWER_CAP or capped > COUNTED_S) and _is_makers_limit(after):
        yield (
            f"its GPU's power limit ({after.power_limit_w:.0f} W) held its clocks back: choose a "
            f"limit to measure under ({_set_limit(after)}), which then counts as part of the "
            "machine"
        )
    yield from _changes(before, after)


def _changes(before: GpuReading, after: GpuReading) -> Iterator[str]:
    """What someone set while the GPU computed."""
    for what, one, two, unit in (
        ("power limit", before.power_limit_w, after.power_limit_w, "W"),
        ("clock setting", before.set_clock_mhz, after.set_clock_mhz, "MHz"),
        ("memory clock setting", before.set_memory_clock_mhz, after.set_memory_clock_mhz, "MHz"),
    ):
        if one is not None and two is not None and one != two:
            yield f"its GPU's {what} was changed from {one:.0f} to {two:.0f} {unit}"


def _is_makers_limit(gpu: GpuReading) -> bool:
    if gpu.power_limit_w is None or gpu.power_default_w is None:
        return False
    return gpu.power_limit_w >= gpu.power_default_w


def _set_limit(gpu: GpuReading) -> str:
    """Return the command that sets a lower limit, with an example of one where limits are known."""
    usual_w = gpu.power_default_w
    watts = "WATTS" if usual_w is None else f"{usual_w * CALM_SHARE:.0f}"
    return f"`sudo nvidia-smi -i {gpu.index} -pl {watts}`"


def _risen(before: float | None, after: float | None) -> float:
    """How much a counter rose; 0 where it does not count."""
    return 0.0 if before is None or after is None else after - before
