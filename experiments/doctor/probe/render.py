"""GPUs that the kernel itself drives, which programs reach by Vulkan, and Vulkan's drivers."""

from __future__ import annotations

import re
from typing import Any

from experiments.doctor.probe.place import Place, first_group

MAKERS = {"0x1002": "AMD", "0x8086": "Intel"}
"""PCI's numbers of makers; NVIDIA's GPUs are looked at through its own driver."""
NAMES = ("/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids")
"""Where distributions keep the list of PCI devices' names, if it is installed."""
DRIVERS = ("/usr/share/vulkan/icd.d/*.json", "/etc/vulkan/icd.d/*.json")


def render_gpus(place: Place) -> dict[str, Any]:
    """GPUs with a node in /dev, and the drivers that Vulkan's loader would load."""
    return {
        "others": [gpu for path in place.found("/dev/dri/renderD*") for gpu in at(place, path)],
        "vulkan_drivers": [path.rpartition("/")[2] for path in place.found(*DRIVERS)],
    }


def at(place: Place, node: str) -> list[dict[str, Any]]:
    """The GPU of a node in /dev; none for one by NVIDIA, or one that a virtual machine makes up."""
    folder = f"/sys/class/drm/{node.rpartition('/')[2]}/device"
    maker, device = place.text(f"{folder}/vendor"), place.text(f"{folder}/device")
    if maker not in MAKERS:
        return []
    driver = place.real(f"{folder}/driver") or ""
    name = named(place, maker, device) or f"GPU {device}"
    return [{"name": f"{MAKERS[maker]} {name}", "driver": driver.rpartition("/")[2], "node": node}]


def named(place: Place, maker: str, device: str) -> str | None:
    """Its name in the list of PCI devices: below the line of its maker, after a tab."""
    for path in NAMES:
        heading = rf"^{re.escape(maker[2:])}  .*\n((?:[\t#].*\n)*)"
        of_maker = re.search(heading, f"{place.text(path)}\n", re.MULTILINE)
        if of_maker:
            return first_group(rf"^\t{re.escape(device[2:])}  (.+)$", of_maker[1])
    return None
