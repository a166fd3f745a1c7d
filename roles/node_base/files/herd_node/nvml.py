"""NVIDIA's library for its GPUs, asked one thing at a time.

What a driver does not know, or does not report under WSL, is None: it must not cost the rest. Nor
must one that crashes or hangs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

from herd_node.cards import MOST_GPUS
from herd_node.driver import Argument, Driver
from herd_node.ground import printable

NVML = "libnvidia-ml.so.1"
OF_WSL = "/usr/lib/wsl/lib/libnvidia-ml.so.1"
"""Windows' own, which the loader's cache does not always have."""
TEXT_BYTES = 96
TOO_SMALL = 7
"""The list that was handed over has too little room: NVML_ERROR_INSUFFICIENT_SIZE."""
MOST_PROCESSES = 64
UNKNOWN_BYTES = (1 << 64) - 1
"""Memory of a process that Windows manages."""


class Memory(ctypes.Structure):
    """`nvmlMemory_t`: bytes."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class Violation(ctypes.Structure):
    """`nvmlViolationTime_t`: how long clocks were held back, in nanoseconds."""

    _fields_ = [("reference_us", ctypes.c_ulonglong), ("held_ns", ctypes.c_ulonglong)]


class Process(ctypes.Structure):
    """`nvmlProcessInfo_t` of functions that end in `_v2` and `_v3`."""

    _fields_ = [
        ("pid", ctypes.c_uint),
        ("used_bytes", ctypes.c_ulonglong),
        ("instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    ]


class Device:
    """One GPU.

    Attributes:
        index: in NVML's order, that of the PCI bus.
    """

    def __init__(self, library: Driver, index: int) -> None:
        self.index = index
        self._library = library
        handle = ctypes.c_void_p()
        if library.result_of("nvmlDeviceGetHandleByIndex_v2", index, handle) != 0:
            raise ValueError(index)
        self._handle = handle.value or 0

    def _answers(self, function: str, *arguments: Argument) -> bool:
        """Call a function of this device; whether it did what it is for."""
        return self._library.result_of(function, *arguments, handle=self._handle) == 0

    def number(self, function: str, *asked: int) -> int | None:
        """What a function writes into an `unsigned int`."""
        value = ctypes.c_uint()
        return value.value if self._answers(function, *asked, value) else None

    def long_number(self, function: str) -> int | None:
        """What a function writes into an `unsigned long long`."""
        value = ctypes.c_ulonglong()
        return value.value if self._answers(function, value) else None

    def two_numbers(self, function: str) -> tuple[int, int] | None:
        """What a function writes into two places."""
        values = ctypes.c_uint(), ctypes.c_uint()
        return (values[0].value, values[1].value) if self._answers(function, *values) else None

    def name(self) -> str | None:
        """The model."""
        text = ctypes.create_string_buffer(TEXT_BYTES)
        return words(text) if self._answers("nvmlDeviceGetName", text, TEXT_BYTES) else None

    def memory(self) -> tuple[int, int] | None:
        """Bytes: all, and those that are free."""
        told = Memory()
        is_told = self._answers("nvmlDeviceGetMemoryInfo", told)
        return (told.total, told.free) if is_told else None

    def joules(self) -> float | None:
        """What its board used since its driver was loaded, where it counts that."""
        used_mj = self.long_number("nvmlDeviceGetTotalEnergyConsumption")
        return None if used_mj is None else used_mj / 1000

    def held_ns(self, policy: int) -> int | None:
        """How long a limit has held clocks back since the driver was loaded."""
        told = Violation()
        is_told = self._answers("nvmlDeviceGetViolationStatus", policy, told)
        return told.held_ns if is_told else None

    def processes(self, kind: str) -> list[tuple[int, int | None]]:
        """Process ids, each with the bytes that it has there, where the driver reports them.

        Args:
            kind: `Compute` or `Graphics`.
        """
        for version in ("_v3", "_v2"):
            count = ctypes.c_uint(MOST_PROCESSES)
            told = (Process * MOST_PROCESSES)()
            function = f"nvmlDeviceGet{kind}RunningProcesses{version}"
            code = self._library.result_of(function, count, told, handle=self._handle)
            if code is None:
                continue
            if code not in (0, TOO_SMALL):
                return []
            found = told[: min(count.value, MOST_PROCESSES)]
            return [
                (one.pid, None if one.used_bytes == UNKNOWN_BYTES else one.used_bytes)
                for one in found
                if one.pid
            ]
        return []


def words(text: ctypes.Array[ctypes.c_char]) -> str:
    """What a function wrote, as it can be shown."""
    return printable(text.value.decode("utf-8", "replace"))


def counter_of(device: Device) -> str:
    """What its counter of energy is called."""
    return f"NVML gpu-{device.index}"


class Nvml:
    """The library.

    Raises:
        OSError: it is not there: no driver of NVIDIA's.
    """

    def __init__(self, path: str = NVML) -> None:
        self._library = Driver(path, *([OF_WSL] if path == NVML else []))
        self._is_loaded = self._library.result_of("nvmlInit_v2") == 0

    def devices(self) -> Iterator[Device]:
        """All GPUs; none where no driver is loaded. Raises ValueError for one that fails."""
        count = ctypes.c_uint(0)
        if self._is_loaded and self._library.result_of("nvmlDeviceGetCount_v2", count) == 0:
            for index in range(min(count.value, MOST_GPUS)):
                yield Device(self._library, index)
        if self._library.is_gone:
            raise ValueError("the driver crashed or hung")

    def driver(self) -> str | None:
        """Version of the driver."""
        text = ctypes.create_string_buffer(TEXT_BYTES)
        code = self._library.result_of("nvmlSystemGetDriverVersion", text, TEXT_BYTES)
        return words(text) if code == 0 else None
