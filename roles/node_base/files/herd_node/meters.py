"""Counters of the node that are looked at while engines run: throttling and energy."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import time

from herd_node import privileges
from herd_node.ground import RefusalError, first_line
from herd_node.nvml import NVML, Device, Nvml, counter_of
from herd_node.places import CONTAINER, POWERCAP


class Throttling:
    """The Raspberry Pi firmware's bit field: 0 to 3 are current, 16 to 19 since boot.

    Asked by vcgencmd it remembers since boot. Asked by the kernel, it forgets what it reported, and
    the kernel asks every two seconds (raspberrypi-hwmon): the kernel's file holds for now alone,
    and stands for the field only where vcgencmd does not answer.

    What was throttled before a trial has its lasting bit already set, so while processes live the
    others are looked at, once a second and without a process for it.
    """

    NOW = 0xF
    EVERY_S = 1.0
    TOLD = re.compile(r"throttled=(0x[0-9a-fA-F]{1,8})")

    def __init__(
        self,
        places: str = "/sys/devices/platform/*/*firmware*/get_throttled",
        programs: tuple[str, ...] = ("/usr/bin/vcgencmd", "/opt/vc/bin/vcgencmd"),
    ) -> None:
        self._file = next(iter(sorted(glob.glob(places))), None)
        self._program = next(filter(os.path.exists, programs), None)
        self._seen = 0
        self._due = 0.0

    def bits(self) -> str | None:
        """The field, hexadecimal; None on other machines."""
        return self._remembered() or (self._file and first_line(self._file)) or None

    def _remembered(self) -> str | None:
        """What the firmware remembers since boot; None if vcgencmd does not report it."""
        if self._program is None:
            return None
        told = None
        with contextlib.suppress(RefusalError):
            said = privileges.asked(self._program, "get_throttled", seconds=5.0)
            told = self.TOLD.fullmatch(said.stdout.decode("utf-8", "replace").strip())
        if told is None:
            # Not to be asked again: bits of two sources would look as if new ones had been set.
            self._program = None
        return told and told[1]

    def look(self) -> float | None:
        """Look at the bits of now if it is time to; seconds until then, None for never."""
        if self._file is None:
            return None
        wait_s = self._due - time.monotonic()
        if wait_s > 0:
            return wait_s
        self._due = time.monotonic() + self.EVERY_S
        with contextlib.suppress(ValueError):
            self._seen |= int(first_line(self._file), 16) & self.NOW
        return self.EVERY_S

    def seen(self) -> str | None:
        """Bits of now that were set at a look since the last question; None without a look."""
        seen, self._seen = self._seen, 0
        return None if self._file is None else f"{seen:x}"


class Rapl:
    """A zone of Linux's powercap: a processor's package, or its memory.

    It counts microjoules and, after `max_energy_range_uj`, starts again at zero; so it must be
    asked before it could do so twice.
    """

    def __init__(self, folder: str, name: str) -> None:
        self.name = f"RAPL {name}"
        self._file = f"{folder}/energy_uj"
        self._range_uj = int(first_line(f"{folder}/max_energy_range_uj"))
        self._last_uj = int(first_line(self._file))
        self._joules = 0.0

    def joules(self) -> float:
        """Since this began to look. Raises ValueError if the counter is gone."""
        now_uj = int(first_line(self._file))
        self._joules += (now_uj - self._last_uj) % self._range_uj / 1e6
        self._last_uj = now_uj
        return self._joules


def rapl_zones(powercap: str) -> list[Rapl]:
    """Every package and its memory. Raises ValueError where the kernel does not report it.

    Parts of a package (cores, graphics) are in its figure; what counts the whole machine (psys)
    is right on some laptops only.
    """
    found = []
    for package in sorted(glob.glob(f"{powercap}/intel-rapl:*")):
        name = first_line(f"{package}/name")
        if not name.startswith("package"):
            continue
        found.append(Rapl(package, name))
        parts = sorted(glob.glob(f"{package}/intel-rapl:*"))
        memories = (part for part in parts if first_line(f"{part}/name") == "dram")
        found += [Rapl(part, f"{name} dram") for part in memories]
    return found


class Board:
    """An NVIDIA GPU whose board counts millijoules since its driver was loaded (NVML)."""

    def __init__(self, device: Device) -> None:
        self.name = counter_of(device)
        self._device = device
        self.joules()

    def joules(self) -> float:
        """Since its driver was loaded. Raises ValueError if it does not report it."""
        used_j = self._device.joules()
        if used_j is None:
            raise ValueError(self.name)
        return used_j


class Energy:
    """What the node's energy counters say.

    They count everything that uses the machine; between two readings nothing is asked of them but a
    look now and then, so that none starts again unseen.

    Attributes:
        obstacle: why the node's energy is not known; empty if it is.
    """

    EVERY_S = 30.0
    """A counter of 32 bits overflows after 65 kJ: two minutes at 500 W."""

    def __init__(
        self, powercap: str = POWERCAP, container: str = CONTAINER, nvml: str = NVML
    ) -> None:
        self._counters: list[Rapl | Board] = []
        self._due = 0.0
        self.obstacle = self._find(powercap, container, nvml)

    def _find(self, powercap: str, container: str, nvml: str) -> str:
        if os.path.exists(container):
            return "it runs in a container, where the host's counters include other nodes"
        try:
            self._counters += rapl_zones(powercap)
        except ValueError:
            return "the kernel does not let its processor's counter be read"
        if not self._counters:
            return "its processor has no energy counter that the kernel knows"
        try:
            self._counters += [Board(device) for device in Nvml(nvml).devices()]
        except OSError:
            pass  # no driver of NVIDIA's
        except ValueError:
            return "it has an NVIDIA GPU that does not count its energy"
        return ""

    def names(self) -> str:
        """Of all counters."""
        return ", ".join(counter.name for counter in self._counters)

    def reading(self) -> dict[str, object]:
        """Joules by counter, and when that was; nothing where it is not known, or no more."""
        if self.obstacle:
            return {}
        at_s = time.monotonic()
        try:
            told = {counter.name: f"{counter.joules():.6f}" for counter in self._counters}
        except ValueError:
            self.obstacle = "a counter of its energy is gone"
            return {}
        return {"at_s": f"{at_s:.6f}", **told}

    def look(self) -> float | None:
        """Look at the counters if it is time to; seconds until then, None for never."""
        if self.obstacle:
            return None
        wait_s = self._due - time.monotonic()
        if wait_s > 0:
            return wait_s
        self._due = time.monotonic() + self.EVERY_S
        self.reading()
        return self.EVERY_S
