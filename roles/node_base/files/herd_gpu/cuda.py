"""CUDA's devices and a proof, through the driver's own library."""

from __future__ import annotations

import ctypes
import os
import re

from herd_gpu import device_files
from herd_gpu.ground import (
    BUFFER_BYTES,
    COUNT,
    LONGEST_WORD,
    MIB,
    MOST_DEVICES,
    Device,
    GpuError,
    Library,
    Told,
    compare,
    word,
)

LIBRARY = "libcuda.so.1"
WSL_LIBRARIES = "/usr/lib/wsl/lib"
DRIVER_VERSION = "/proc/driver/nvidia/version"
INTEGRATED = 18
"""CU_DEVICE_ATTRIBUTE_INTEGRATED."""
FACTOR = 2_654_435_761
PROGRAM = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry prove(.param .u64 buffer)
{
    .reg .b32 %r<5>;
    .reg .b64 %d<5>;
    ld.param.u64 %d1, [buffer];
    cvta.to.global.u64 %d2, %d1;
    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %ntid.x;
    mov.u32 %r3, %tid.x;
    mad.lo.u32 %r4, %r1, %r2, %r3;
    mul.wide.u32 %d3, %r4, 4;
    add.s64 %d4, %d2, %d3;
    mul.lo.u32 %r4, %r4, 2654435761;
    st.global.u32 [%d4], %r4;
    ret;
}
"""
"""Writes into each place of a buffer its number times FACTOR. The driver compiles it for the GPU
that is there, so it also shows that the driver has a compiler for that kind of GPU."""
THREADS = 64
AGAIN = "restart the machine"
CAUSES = {
    1: "an argument is not valid for this driver",
    2: "the GPU has too little free memory: other programs use it",
    3: "the driver is not initialised",
    34: "the library is a stub of the CUDA toolkit, not a driver's: remove its folder from the "
    "loader's path",
    46: "the GPU is busy or unavailable: another program may use it alone (compute mode)",
    100: "the driver finds no GPU",
    101: "there is no such GPU",
    201: "the context is not valid",
    209: "the driver has no code for this kind of GPU",
    214: "the GPU's memory has an error that cannot be corrected (ECC)",
    218: "the driver cannot compile for this GPU",
    221: "the driver's compiler (libnvidia-ptxjitcompiler.so.1) is not installed",
    222: "the driver is too old for the program of this test",
    304: "a call of the operating system failed: a device file of the GPU is missing or closed",
    700: "a program on the GPU used memory that is not its own",
    719: "a program on the GPU failed",
    802: "the system is not ready: the service nvidia-fabricmanager does not run",
    803: "the library does not fit the driver in the kernel, as after an update of one of "
    f"them: {AGAIN}",
    804: "the library is newer than this driver or this GPU supports: update the driver",
    999: f"the driver does not know why, often after a suspend or an update: {AGAIN}",
}
NO_DEVICE = (100, 101)


class Cuda(Library):
    """The driver's library."""

    def do(self, name: str, *arguments: object) -> None:
        """Call a function. Raises GpuError with the cause if it fails."""
        code = self.result_of(name, *arguments)
        if code != 0:
            cause = CAUSES.get(code, "see this number in CUDA's manual of errors")
            raise GpuError(f"CUDA's {name} failed with error {code}: {cause}.{beside(code)}")

    def number(self, name: str, *arguments: object) -> int:
        """A number that a function returns."""
        value = ctypes.c_int(0)
        self.do(name, ctypes.byref(value), *arguments)
        return value.value


def missing_library() -> str:
    """Why the driver's library is not found."""
    if not device_files.is_wsl():
        return (
            f"{LIBRARY} is not installed: install NVIDIA's driver (on Debian the packages "
            "nvidia-driver and libcuda1)."
        )
    if os.path.exists(f"{WSL_LIBRARIES}/{LIBRARY}"):
        return (
            f"The loader does not find {WSL_LIBRARIES}/{LIBRARY}: write {WSL_LIBRARIES} into a "
            "file in /etc/ld.so.conf.d and run ldconfig."
        )
    return (
        f"{WSL_LIBRARIES}/{LIBRARY} is missing: install or update NVIDIA's driver in Windows, then "
        "run `wsl --shutdown` there."
    )


def beside(code: int) -> str:
    """What the machine shows beyond an error: which device file is missing or closed."""
    foreign = foreign_library()
    if foreign:
        return (
            f" {foreign} is a Linux driver's, which cannot work in WSL: remove that driver, so "
            f"that {WSL_LIBRARIES} is used."
        )
    if code not in (*NO_DEVICE, 304, 999):
        return ""
    if device_files.is_wsl():
        closed = device_files.refusal([device_files.OF_WINDOWS])
        return f" {closed}" if closed else ""
    cards = device_files.found(device_files.OF_NVIDIA[0])
    if not cards:
        return (
            " /dev/nvidia0 is not there: the kernel's module nvidia is not loaded, or this unit is "
            "not shown the GPU."
        )
    closed = device_files.refusal(cards) or device_files.refusal(
        device_files.found(device_files.OF_NVIDIA[1])
    )
    return f" {closed}" if closed else ""


def foreign_library() -> str | None:
    """The path of a Linux driver's library that was loaded in WSL; None if it is Windows' own."""
    if not device_files.is_wsl():
        return None
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        loaded = re.search(r" (/\S*/libcuda\.so\S*)$", file.read(), re.MULTILINE)
    if loaded is None or loaded[1].startswith(("/usr/lib/wsl/", "/mnt/")):
        return None
    return word(loaded[1].encode())


def prove(index: int, told: Told) -> None:
    """List the devices and have one run a program. Raises GpuError: why there is no proof."""
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ["CUDA_CACHE_DISABLE"] = "1"
    cuda = Cuda(told, LIBRARY, missing_library())
    cuda.do("cuInit", 0)
    version = cuda.number("cuDriverGetVersion")
    count = cuda.number("cuDeviceGetCount")
    found = [described(cuda, number, version) for number in range(min(count, MOST_DEVICES))]
    told.devices(found)
    if index >= len(found):
        raise GpuError(f"There is no GPU {index}: CUDA finds {len(found)}.{beside(100)}")
    handle = ctypes.c_int(cuda.number("cuDeviceGet", index))
    context = ctypes.c_void_p()
    cuda.do("cuDevicePrimaryCtxRetain", ctypes.byref(context), handle)
    cuda.do("cuCtxSetCurrent", context)
    free, whole = ctypes.c_size_t(), ctypes.c_size_t()
    cuda.do("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(whole))
    found[index] = found[index]._replace(free_mib=free.value // MIB)
    told.devices(found)
    compare(computed(cuda), lambda place: place * FACTOR % 2**32)


def described(cuda: Cuda, index: int, version: int) -> Device:
    """A device; the driver reports free memory only to those that use the device."""
    handle = ctypes.c_int(cuda.number("cuDeviceGet", index))
    name = ctypes.create_string_buffer(LONGEST_WORD + 1)
    cuda.do("cuDeviceGetName", name, LONGEST_WORD, handle)
    memory = ctypes.c_size_t()
    cuda.do("cuDeviceTotalMem_v2", ctypes.byref(memory), handle)
    is_integrated = cuda.number("cuDeviceGetAttribute", INTEGRATED, handle)
    return Device(
        number=index,
        name=word(name.raw) or "a GPU without a name",
        kind="integrated" if is_integrated else "discrete",
        memory_mib=memory.value // MIB,
        free_mib=memory.value // MIB,
        driver=f"{kernel_driver()}CUDA {version // 1000}.{version % 1000 // 10}",
    )


def kernel_driver() -> str:
    """`NVIDIA 550.54.14, `: the driver in the kernel; empty where there is none, as in WSL."""
    try:
        with open(DRIVER_VERSION, encoding="utf-8", errors="replace") as file:
            told = re.search(r"Kernel Module(?: for \S+)?\s+(\d[\d.]+)", file.read(4096))
    except OSError:
        return ""
    return f"NVIDIA {word(told[1].encode())}, " if told else ""


def computed(cuda: Cuda) -> ctypes.Array[ctypes.c_uint32]:
    """What a program writes into a buffer of the current device."""
    buffer = ctypes.c_uint64()
    cuda.do("cuMemAlloc_v2", ctypes.byref(buffer), ctypes.c_size_t(BUFFER_BYTES))
    cuda.do("cuMemsetD32_v2", buffer, ctypes.c_uint(1), ctypes.c_size_t(COUNT))
    module, program = ctypes.c_void_p(), ctypes.c_void_p()
    cuda.do("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(PROGRAM))
    cuda.do("cuModuleGetFunction", ctypes.byref(program), module, ctypes.c_char_p(b"prove"))
    arguments = (ctypes.c_void_p * 1)(ctypes.addressof(buffer))
    grid = [ctypes.c_uint(number) for number in (COUNT // THREADS, 1, 1, THREADS, 1, 1, 0)]
    cuda.do("cuLaunchKernel", program, *grid, None, arguments, None)
    cuda.do("cuCtxSynchronize")
    found = (ctypes.c_uint32 * COUNT)()
    cuda.do("cuMemcpyDtoH_v2", found, buffer, ctypes.c_size_t(BUFFER_BYTES))
    return found
