"""Vulkan's devices and a proof, through the loader's library."""

from __future__ import annotations

import glob
from ctypes import byref, c_uint32, c_void_p

from herd_gpu import device_files
from herd_gpu.ground import (
    MIB,
    MOST_DEVICES,
    Device,
    GpuError,
    Library,
    Told,
    compare,
    word,
)
from herd_gpu.spirv import FACTOR
from herd_gpu.vulkan_proof import computed
from herd_gpu.vulkan_types import (
    MOST_HEAPS,
    Application,
    Budget,
    Driver,
    InstanceWish,
    Memory,
    Properties,
    made,
)

LIBRARY = "libvulkan.so.1"
DRIVERS = (
    *("/etc/vulkan/icd.d/*.json", "/usr/share/vulkan/icd.d/*.json"),
    "/usr/local/share/vulkan/icd.d/*.json",
)
KINDS = ("other", "integrated", "discrete", "virtual", "software")
"""By VkPhysicalDeviceType."""
VERSION_1_1 = 1 << 22 | 1 << 12
DEVICE_LOCAL = 1
INCOMPLETE = 5
"""The result where a list has more entries than there was room for."""
PACKAGES = (
    "for AMD, Intel and software that is Debian's package mesa-vulkan-drivers, for NVIDIA "
    "nvidia-vulkan-icd (on Ubuntu it comes with the driver, as libnvidia-gl)"
)
CAUSES = {
    -1: "there is too little memory",
    -2: "the GPU has too little free memory: other programs use it",
    -3: "the driver cannot begin: it does not fit the kernel's, or may not use the device",
    -4: "the GPU stopped working, as after a fault or a program that took too long: restart the "
    "machine",
    -5: "the GPU's memory cannot be reached from the CPU",
    -7: "the driver lacks an extension",
    -8: "the driver lacks a feature",
    -9: f"no driver fits, so install one, or install it again; {PACKAGES}",
    -13: "the driver does not say why",
    2: "the GPU did not end its work in time",
}


class Vulkan(Library):
    """The loader's library."""

    def do(self, name: str, *arguments: object) -> None:
        """Call a function. Raises GpuError with the cause if it fails."""
        code = self.result_of(name, *arguments)
        if code not in (0, INCOMPLETE):
            cause = CAUSES.get(code, "see this number in Vulkan's VkResult")
            raise GpuError(f"Vulkan's {name} failed with result {code}: {cause}.{beside()}")

    def call(self, name: str, *arguments: object) -> None:
        """Call a function that has no result."""
        self.result_of(name, *arguments)


def prove(index: int, told: Told) -> None:
    """List the devices and have one run a program. Raises GpuError: why there is no proof."""
    missing = f"{LIBRARY} is not installed: install Debian's package libvulkan1."
    vulkan = Vulkan(told, LIBRARY, missing)
    instance = c_void_p()
    application = made(Application, api_version=VERSION_1_1)
    wish = made(InstanceWish, application=application)
    vulkan.do("vkCreateInstance", byref(wish), None, byref(instance))
    handles = devices_of(vulkan, instance)
    found = [described(vulkan, number, handle) for number, handle in enumerate(handles)]
    told.devices(found)
    if index >= len(found):
        raise GpuError(f"There is no device {index}: Vulkan finds {len(found)}.{beside()}")
    overlooked = device_files.found(*device_files.OF_NVIDIA[:1], *device_files.OF_OTHERS)
    if found[index].kind == "software" and overlooked:
        raise GpuError(
            f"Vulkan finds software only as device {index} ({found[index].name}), although "
            f"{overlooked[0]} is there: its driver for Vulkan is missing or cannot use it; "
            f"{PACKAGES}.{beside()}"
        )
    compare(computed(vulkan, handles[index]), lambda place: place * FACTOR % 2**32)


def beside() -> str:
    """What the machine shows beyond an error: no driver, or a device file that is closed."""
    if not any(map(glob.glob, DRIVERS)):
        return f" No driver for Vulkan is installed: {PACKAGES}."
    if device_files.is_wsl():
        return " Inside WSL, NVIDIA's GPUs have no driver for Vulkan: use CUDA (herd_gpu: cuda)."
    patterns = (*device_files.OF_NVIDIA[:1], *device_files.OF_OTHERS)
    refusal = device_files.refusal(device_files.found(*patterns))
    return f" {refusal}" if refusal else ""


def devices_of(vulkan: Vulkan, instance: c_void_p) -> list[c_void_p]:
    """Handles of the physical devices, in the loader's order."""
    count = c_uint32(MOST_DEVICES)
    handles = (c_void_p * MOST_DEVICES)()
    vulkan.do("vkEnumeratePhysicalDevices", instance, byref(count), handles)
    return [c_void_p(handle) for handle in handles[: min(count.value, MOST_DEVICES)]]


def described(vulkan: Vulkan, index: int, handle: c_void_p) -> Device:
    """A device, with the largest heap that belongs to it."""
    driver = made(Driver)
    told = made(Properties, next=driver)
    vulkan.call("vkGetPhysicalDeviceProperties2", handle, byref(told))
    budget = made(Budget)
    memory = made(Memory, next=budget)
    vulkan.call("vkGetPhysicalDeviceMemoryProperties2", handle, byref(memory))
    heaps = list(memory.kinds.heaps)[: min(memory.kinds.heap_count, MOST_HEAPS)]
    own = [number for number, heap in enumerate(heaps) if heap.flags & DEVICE_LOCAL]
    largest = max(own, key=lambda number: int(heaps[number].bytes), default=None)
    memory_bytes = 0 if largest is None else heaps[largest].bytes
    free_bytes = memory_bytes
    if largest is not None and budget.budget[largest]:
        free_bytes = max(0, budget.budget[largest] - budget.usage[largest])
    named = [word(bytes(driver.name)), word(bytes(driver.info))]
    return Device(
        number=index,
        name=word(bytes(told.name)) or "a device without a name",
        kind=KINDS[told.kind] if 0 <= told.kind < len(KINDS) else "other",
        memory_mib=memory_bytes // MIB,
        free_mib=min(free_bytes, memory_bytes) // MIB,
        driver=" ".join(filter(None, named)) or f"version {told.driver_version:#x}",
    )
