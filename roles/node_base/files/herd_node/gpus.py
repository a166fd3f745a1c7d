"""GPUs of the node: what they are, and how the one that computes is doing during a trial."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import time
from collections.abc import Iterator
from typing import Union

from herd_node.ground import content, first_line, printable
from herd_node.nvml import NVML, Device, Nvml, counter_of

Fact = Union[bool, int, float, str]
CORE, MEMORY = 0, 2
"""Kinds of clocks: `nvmlClockType_t`."""
POWER, HEAT = 0, 1
"""What holds clocks back: `nvmlPerfPolicyType_t`."""
COMPUTE_MODES = ("default", "exclusive thread", "prohibited", "exclusive process")
MIB = 1 << 20
MOST_NAMED = 8
"""Processes that are named; of more, only how many."""
MAKERS = {"0x1002": "AMD", "0x8086": "Intel"}
"""PCI's numbers of those whose GPUs Linux itself drives. NVIDIA's are asked through NVML."""
GENERATIONS = {"2.5": 1, "5.0": 2, "8.0": 3, "16.0": 4, "32.0": 5, "64.0": 6}
"""GT/s of a lane to the generation of PCI Express."""


def gpu_facts(nvml: str = NVML, devices: str = "/sys/bus/pci/devices") -> dict[str, Fact]:
    """Describe each GPU by facts of the node: `gpu_0_name`, `gpu_0_memory_mib` and so on."""
    found = [*_of_nvidia(nvml), *_of_kernel(devices)]
    return {
        f"gpu_{index}_{name}": value
        for index, told in enumerate(found)
        for name, value in told.items()
        if value is not None
    }


def _of_nvidia(path: str) -> Iterator[dict[str, Fact | None]]:
    try:
        nvml = Nvml(path)
    except OSError:
        return
    # One that fails, as a GPU that fell off the bus, is reported by the engine that needs it.
    with contextlib.suppress(ValueError):
        for device in nvml.devices():
            yield {"name": device.name(), "driver": nvml.driver(), **_described(device)}


def _described(device: Device) -> dict[str, Fact | None]:
    total, free = device.memory() or (None, None)
    compute_mode = device.number("nvmlDeviceGetComputeMode")
    limits_mw = device.two_numbers("nvmlDeviceGetPowerManagementLimitConstraints")
    ecc = device.two_numbers("nvmlDeviceGetEccMode")
    return {
        "memory_mib": _scaled(total, MIB),
        "free_mib": _scaled(free, MIB),
        "power_limit_w": _watts(device.number("nvmlDeviceGetPowerManagementLimit")),
        "power_limit_default_w": _watts(device.number("nvmlDeviceGetPowerManagementDefaultLimit")),
        "power_limit_maximum_w": _watts(limits_mw and limits_mw[1]),
        "clock_mhz": device.number("nvmlDeviceGetClockInfo", CORE),
        "clock_maximum_mhz": device.number("nvmlDeviceGetMaxClockInfo", CORE),
        "memory_clock_mhz": device.number("nvmlDeviceGetClockInfo", MEMORY),
        "memory_clock_maximum_mhz": device.number("nvmlDeviceGetMaxClockInfo", MEMORY),
        "pcie_generation": device.number("nvmlDeviceGetCurrPcieLinkGeneration"),
        "pcie_generation_maximum": device.number("nvmlDeviceGetMaxPcieLinkGeneration"),
        "pcie_width": device.number("nvmlDeviceGetCurrPcieLinkWidth"),
        "pcie_width_maximum": device.number("nvmlDeviceGetMaxPcieLinkWidth"),
        "persistence_mode": _truth(device.number("nvmlDeviceGetPersistenceMode")),
        "compute_mode": None
        if compute_mode is None or compute_mode >= len(COMPUTE_MODES)
        else COMPUTE_MODES[compute_mode],
        "ecc": _truth(ecc and ecc[0]),
        "used_by": used_by(device),
    }


def used_by(device: Device) -> str | None:
    """Processes on a GPU other than units of ours: `Xorg (pid 812, 350 MiB)`; None if none."""
    told = dict([*device.processes("Graphics"), *device.processes("Compute")])
    others = [(pid, used) for pid, used in told.items() if not _is_ours(pid)]
    named = [_named(pid, used) for pid, used in others[:MOST_NAMED]]
    if len(others) > MOST_NAMED:
        named.append(f"{len(others) - MOST_NAMED} more")
    return ", ".join(named) or None


def _is_ours(pid: int) -> bool:
    """Whether a process is in a unit of ours, by its control group."""
    return re.search(r"/herd-[a-z0-9.-]+\.service", content(f"/proc/{pid}/cgroup")) is not None


def _named(pid: int, used_bytes: int | None) -> str:
    name = printable(first_line(f"/proc/{pid}/comm")) or "a process"
    memory = "" if used_bytes is None else f", {used_bytes // MIB} MiB"
    return f"{name} (pid {pid}{memory})"


def _of_kernel(devices: str) -> Iterator[dict[str, Fact | None]]:
    """GPUs by AMD and Intel that have a node in /dev: in a container, those that it was given."""
    for render in sorted(glob.glob(f"{devices}/*/drm/renderD*")):
        folder = os.path.dirname(os.path.dirname(render))
        maker = MAKERS.get(first_line(f"{folder}/vendor"))
        if maker is None or not os.path.exists(f"/dev/dri/{os.path.basename(render)}"):
            continue
        total, used = (_whole(f"{folder}/mem_info_vram_{kind}") for kind in ("total", "used"))
        sensors = f"{folder}/hwmon/hwmon*"
        cards = f"{folder}/drm/card*"
        yield {
            "name": f"{maker} GPU {first_line(f'{folder}/device')}",
            "driver": os.path.basename(os.path.realpath(f"{folder}/driver")),
            "memory_mib": _scaled(total, MIB),
            "free_mib": None if total is None or used is None else (total - used) // MIB,
            "power_limit_w": _scaled(_whole(f"{sensors}/power1_cap"), 1_000_000),
            "power_limit_default_w": _scaled(_whole(f"{sensors}/power1_cap_default"), 1_000_000),
            "power_limit_maximum_w": _scaled(_whole(f"{sensors}/power1_cap_max"), 1_000_000),
            "clock_mhz": _scaled(_whole(f"{sensors}/freq1_input"), 1_000_000)
            or _whole(f"{cards}/gt_cur_freq_mhz"),
            "clock_maximum_mhz": _whole(f"{cards}/gt_max_freq_mhz"),
            "pcie_generation": _generation(f"{folder}/current_link_speed"),
            "pcie_generation_maximum": _generation(f"{folder}/max_link_speed"),
            "pcie_width": _whole(f"{folder}/current_link_width"),
            "pcie_width_maximum": _whole(f"{folder}/max_link_width"),
        }


def _whole(pattern: str) -> int | None:
    """The whole number in the first file that a pattern fits."""
    text = next((first_line(path) for path in sorted(glob.glob(pattern))), "")
    return int(text) if text.isdigit() else None


def _generation(path: str) -> int | None:
    return GENERATIONS.get(first_line(path).partition(" ")[0])


def _scaled(value: int | None, by: int) -> int | None:
    return None if value is None else value // by


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _truth(value: int | None) -> bool | None:
    return None if value is None else value != 0


class GpuMeter:
    """Looks at the GPU that a unit computes on, from before it starts until it is stopped.

    Clocks are held back for moments: while the unit lives, the reasons are looked at once a second,
    which takes a few calls of the driver and no process.
    """

    EVERY_S = 1.0

    def __init__(self, index: int, nvml: str = NVML) -> None:
        self._device: Device | None = None
        self._reasons = 0
        self._fastest_mhz = 0
        self._due = 0.0
        with contextlib.suppress(OSError, ValueError):
            devices = {device.index: device for device in Nvml(nvml).devices()}
            self._device = devices.get(index)

    def look(self) -> float | None:
        """Look at it if it is time to; seconds until then, None where there is none."""
        if self._device is None:
            return None
        wait_s = self._due - time.monotonic()
        if wait_s > 0:
            return wait_s
        self._due = time.monotonic() + self.EVERY_S
        self._reasons |= self._held_back(self._device) or 0
        clock_mhz = self._device.number("nvmlDeviceGetClockInfo", CORE)
        self._fastest_mhz = max(self._fastest_mhz, clock_mhz or 0)
        return self.EVERY_S

    @staticmethod
    def _held_back(device: Device) -> int | None:
        """Why clocks are not higher, as bits; the function has another name since driver 535."""
        for name in ("EventReasons", "ThrottleReasons"):
            told = device.long_number(f"nvmlDeviceGetCurrentClocks{name}")
            if told is not None:
                return told
        return None

    def energy(self) -> dict[str, object]:
        """Joules of its board so far, and when that was; nothing if it does not count."""
        device, at_s = self._device, time.monotonic()
        used_j = device.joules() if device else None
        if device is None or used_j is None:
            return {}
        return {"at_s": f"{at_s:.6f}", counter_of(device): f"{used_j:.6f}"}

    def reading(self) -> dict[str, object]:
        """How it is at this moment, and what was seen of it since the last reading."""
        device = self._device
        if device is None:
            return {}
        reasons, fastest_mhz = self._reasons, self._fastest_mhz
        self._reasons = self._fastest_mhz = 0
        now = self._held_back(device)
        return {
            "gpu_index": device.index,
            "gpu_reasons": None if now is None else f"{now:x}",
            "gpu_reasons_meanwhile": None if now is None else f"{reasons:x}",
            "gpu_power_held_ns": device.held_ns(POWER),
            "gpu_heat_held_ns": device.held_ns(HEAT),
            "gpu_clock_mhz": device.number("nvmlDeviceGetClockInfo", CORE),
            "gpu_clock_meanwhile_mhz": fastest_mhz or None,
            "gpu_memory_clock_mhz": device.number("nvmlDeviceGetClockInfo", MEMORY),
            "gpu_set_clock_mhz": device.number("nvmlDeviceGetApplicationsClock", CORE),
            "gpu_set_memory_clock_mhz": device.number("nvmlDeviceGetApplicationsClock", MEMORY),
            "gpu_power_limit_mw": device.number("nvmlDeviceGetPowerManagementLimit"),
            "gpu_power_default_mw": device.number("nvmlDeviceGetPowerManagementDefaultLimit"),
            "gpu_temperature_c": device.number("nvmlDeviceGetTemperature", 0),
            "gpu_used_by": used_by(device),
        }
