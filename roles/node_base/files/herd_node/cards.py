"""Which files in /dev belong to which GPU of the node, as its kernel says."""

from __future__ import annotations

import glob
import os
import re
import stat
from typing import NamedTuple

from herd_node.ground import RefusalError, content
from herd_node.places import GPU_CACHE

BACKENDS = ("vulkan", "cuda")
"""Interfaces by which an engine computes on a GPU."""
MOST_GPUS = 16
UNIFIED_MEMORY = "nvidia-uvm"
"""Of NVIDIA's devices, the one that is made when a program first asks for it."""
DEVICES = "/dev"
DRM = "/sys/class/drm"
NVIDIA = "/proc/driver/nvidia"
WSL_LIBRARIES = "/usr/lib/wsl/lib"
MADE_UP = ("virtio_gpu",)
"""Drivers of screens of virtual machines: they have such a device, and nothing that computes."""


class Card(NamedTuple):
    """A GPU.

    Attributes:
        address: on the PCI bus, `0000:01:00.0`; another name where it is on none.
        minor: of NVIDIA's `/dev/nvidia<minor>`; None for GPUs of others.
        render: `renderD128`; empty for one that has no such device.
    """

    address: str
    minor: int | None
    render: str


class Shown(NamedTuple):
    """What a unit gets to see of a GPU, which is number 0 to the programs in it.

    Attributes:
        paths: device files.
        environment: variables, fixed by name and value.
    """

    backend: str
    paths: list[str]
    environment: list[str]


def shown(backend: str, index: int) -> Shown:
    """What a unit that uses this GPU is shown of the node.

    Numbers count from 0: for CUDA in the order of addresses on the PCI bus; for Vulkan so too, but
    those of bus 0 last, which are part of the CPU; Vulkan's loader puts them last as well. Where
    Vulkan has no device, number 0 is the CPU by a driver that computes in software.

    Raises:
        RefusalError: there is no such GPU.
    """
    if there("dxg"):
        return in_wsl(backend, index)
    nvidia = cards_of_nvidia()
    cards = nvidia if backend == "cuda" else cards_of_vulkan(nvidia)
    if index >= max(1, len(cards)):
        known = ", ".join(f"{number} is {card.address}" for number, card in enumerate(cards))
        none = "0 is a software driver, if there is one" if backend == "vulkan" else "none is there"
        raise RefusalError(
            f"there is no GPU {index} for {backend} here ({known or none}): "
            "correct herd_gpu_index in the inventory"
        )
    paths = paths_of(cards[index], backend) if cards else []
    return Shown(backend, paths, environment(backend, 0, is_device=bool(paths)))


def is_unmade() -> bool:
    """Whether a device of NVIDIA's is still to be made, here where its driver makes them."""
    return not there("dxg") and not there(UNIFIED_MEMORY)


def in_wsl(backend: str, index: int) -> Shown:
    """A guest in WSL has one device for all GPUs; CUDA can hide the others from a program."""
    if index and backend != "cuda":
        raise RefusalError(f"in WSL, GPU {index} cannot be chosen for {backend}: only GPU 0")
    named = [*environment(backend, index, is_device=True), f"LD_LIBRARY_PATH={WSL_LIBRARIES}"]
    return Shown(backend, there("dxg"), named)


def environment(backend: str, index: int, *, is_device: bool) -> list[str]:
    """Variables of units that use a GPU: which one, and where what was compiled for it is kept."""
    if backend == "cuda":
        chosen = ["CUDA_DEVICE_ORDER=PCI_BUS_ID", f"CUDA_VISIBLE_DEVICES={index}"]
        return [*chosen, f"CUDA_CACHE_PATH={GPU_CACHE}"]
    caches = [f"MESA_SHADER_CACHE_DIR={GPU_CACHE}", f"__GL_SHADER_DISK_CACHE_PATH={GPU_CACHE}"]
    # Where there is a device, software must not be taken for it.
    software = ["VK_LOADER_DRIVERS_DISABLE=*lvp*"] if is_device else []
    return [f"GGML_VK_VISIBLE_DEVICES={index}", *caches, *software]


def there(*names: str) -> list[str]:
    """Those of these that are character devices in /dev; links are none."""
    found = []
    for name in names:
        path = f"{DEVICES}/{name}"
        if os.path.lexists(path) and stat.S_ISCHR(os.lstat(path).st_mode):
            found.append(path)
    return found


def cards_of_nvidia() -> list[Card]:
    """NVIDIA's, in the order of their addresses.

    Where the driver does not list them, the number of the device serves as the address.
    """
    cards = []
    renders = {card.address: card.render for card in cards_of_drm()}
    for path in sorted(glob.glob(f"{NVIDIA}/gpus/*/information")):
        told = re.search(r"^Device Minor:\s+([0-9]{1,4})$", content(path), re.MULTILINE)
        if told and there(f"nvidia{told[1]}"):
            address = os.path.basename(os.path.dirname(path))
            cards.append(Card(address, int(told[1]), renders.get(address, "")))
    minors = [number for number in range(MOST_GPUS) if there(f"nvidia{number}")]
    return cards or [Card(f"{DEVICES}/nvidia{number}", number, "") for number in minors]


def cards_of_drm() -> list[Card]:
    """Those that have a device for computing and drawing in /dev and a driver of a GPU."""
    cards = []
    for path in sorted(glob.glob(f"{DRM}/renderD*")):
        device = os.path.realpath(f"{path}/device")
        driver = os.path.basename(os.path.realpath(f"{device}/driver"))
        name = os.path.basename(path)
        is_gpu = os.path.exists(f"{device}/driver") and driver not in MADE_UP
        if is_gpu and there(f"dri/{name}"):
            cards.append(Card(os.path.basename(device), None, name))
    return cards


def cards_of_vulkan(nvidia: list[Card]) -> list[Card]:
    """All GPUs, NVIDIA's and others: by their address, those in the CPU after the rest."""
    cards = {card.address: card for card in (*cards_of_drm(), *nvidia)}
    return sorted(cards.values(), key=last_in_cpu)


def number_of_nvidia(backend: str, index: int) -> int | None:
    """Which of NVIDIA's GPUs, by their addresses, this is; None for one of others or software."""
    if there("dxg"):
        return index if backend == "cuda" else None
    nvidia = cards_of_nvidia()
    cards = nvidia if backend == "cuda" else cards_of_vulkan(nvidia)
    card = cards[index] if index < len(cards) else None
    return nvidia.index(card) if card in nvidia else None


def last_in_cpu(card: Card) -> tuple[bool, str]:
    """Sorts GPUs."""
    is_apart = re.fullmatch(r"[0-9a-f]{4,8}:(?!00)[0-9a-f]{2}:.*", card.address) is not None
    return not (is_apart or card.minor is not None), card.address


def paths_of(card: Card, backend: str) -> list[str]:
    """The device files of a GPU that programs of an interface use; none for a screen (`card*`)."""
    render = there(f"dri/{card.render}") if card.render and backend == "vulkan" else []
    if card.minor is None:
        return render
    screens = there("nvidia-modeset") if backend == "vulkan" else []
    own = there(f"nvidia{card.minor}", "nvidiactl", UNIFIED_MEMORY, *parts_of(card.minor))
    return [*own, *screens, *render]


def parts_of(minor: int) -> list[str]:
    """Devices that open the parts of one of NVIDIA's GPUs that was divided (MIG)."""
    names = []
    for path in sorted(
        glob.glob(f"{NVIDIA}/capabilities/gpu{minor}/mig/gi*/**/access", recursive=True)
    ):
        told = re.search(r"^DeviceFileMinor: ([0-9]{1,5})$", content(path), re.MULTILINE)
        names += [f"nvidia-caps/nvidia-cap{told[1]}"] if told else []
    return names
