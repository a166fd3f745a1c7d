"""NVIDIA's GPUs, their driver, and what keeps it from loading."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from experiments.doctor.probe.machine import DPKG_STATUS, WSL_LIBRARIES
from experiments.doctor.probe.place import Place, first_group
from experiments.doctor.probe.render import render_gpus

NVIDIA = "0x10de"
DISPLAY = "0x03"
"""PCI base class of display controllers."""
SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
MODULES = (
    *("nvidia", "nvidia-current", "nvidia-current-open", "nvidia-open", "nvidia-tesla"),
    *("nvidia-tesla-535", "nvidia-tesla-470", "nvidia-legacy-470xx", "nvidia-legacy-390xx"),
)
"""Names that distributions give the driver's module: Debian has several side by side."""
SPELT = re.compile(
    r"(?:^|/)(nvidia(?:-(?:current|open|tesla|legacy)[a-z0-9-]*)?)\.ko(?:\.\w+)?:", re.MULTILINE
)
NOT_THE_DRIVER = ("-drm", "-modeset", "-uvm", "-peermem")
KEYS = ("/var/lib/shim-signed/mok/MOK.der", "/var/lib/dkms/mok.pub")
"""Where Ubuntu and DKMS keep the key that they sign modules with."""
COLUMNS = {
    "name": "name",
    "driver_version": "driver",
    "compute_cap": "compute_capability",
    "memory.total": "memory_mib",
}
NEW_COLUMNS = ("compute_cap",)
"""Columns that drivers before 510 do not know: they refuse the whole question then."""
DRIVER_PACKAGE = re.compile(
    r"cuda|cuda-\d+-\d+|cuda-drivers.*|cuda-runtime-.*|libnvidia-compute-.*|linux-modules-nvidia-.*"
    r"|nvidia-(driver|open|headless|kernel|dkms|utils|compute-utils)(-.*)?"
)
"""Packages that are, or bring, a Linux driver."""


def gpu(place: Place) -> dict[str, Any]:
    """The GPUs as the bus and as the driver see them."""
    smi = next(
        (
            path
            for path in (f"{WSL_LIBRARIES}/nvidia-smi", "/usr/bin/nvidia-smi")
            if place.is_program(path)
        ),
        place.program("nvidia-smi"),
    )
    gpus, error = seen_by_driver(place, smi) if smi else ([], None)
    if not gpus and error is None:
        gpus = seen_by_kernel(place)
    return {
        "on_bus": on_bus(place),
        "gpus": gpus,
        "nvidia_smi": smi,
        "nvidia_smi_error": error,
        "module": kernel_module(place),
        "nouveau": re.search(r"^nouveau ", place.text("/proc/modules"), re.MULTILINE) is not None,
        "secure_boot": secure_boot(place),
        "driver_packages": driver_packages(place),
        "tegra": "nvidia,tegra" in place.text("/sys/firmware/devicetree/base/compatible"),
        **render_gpus(place),
    }


def on_bus(place: Place) -> int:
    """NVIDIA's display controllers on the PCI bus."""
    count = 0
    for vendor in place.found("/sys/bus/pci/devices/*/vendor"):
        kind = place.text(vendor.replace("/vendor", "/class"))
        count += place.text(vendor) == NVIDIA and kind.startswith(DISPLAY)
    return count


def seen_by_driver(place: Place, smi: str) -> tuple[list[dict[str, Any]], str | None]:
    """What nvidia-smi lists, or why it cannot.

    Asked for a column that it does not know, it prints nothing, so it is asked again for those that
    every driver knows.
    """
    error = None
    for columns in (tuple(COLUMNS), tuple(name for name in COLUMNS if name not in NEW_COLUMNS)):
        query = f"--query-gpu={','.join(columns)}"
        said = place.ask(str(place.path(smi)), query, "--format=csv,noheader,nounits")
        if said.code == 0:
            rows = map(partial(gpu_of_line, columns), said.out.splitlines())
            return [row for row in rows if row is not None], None
        error = (said.out or said.err).partition("\n")[0] or "it does not run"
        if said.code is None:
            break
    return [], error


def gpu_of_line(columns: tuple[str, ...], line: str) -> dict[str, Any] | None:
    """A GPU of nvidia-smi's table; None for a line that is none."""
    values = [value.strip() for value in line.split(",")]
    if len(values) != len(columns):
        return None
    told: dict[str, Any] = {COLUMNS[name]: value for name, value in zip(columns, values)}
    memory = told["memory_mib"]
    return {
        **dict.fromkeys(COLUMNS.values()),
        **told,
        "memory_mib": int(memory) if memory.isdigit() else None,
    }


def seen_by_kernel(place: Place) -> list[dict[str, Any]]:
    """What the loaded module lists: Debian has nvidia-smi in a separate package."""
    driver = loaded_driver(place)
    told = [place.text(path) for path in place.found("/proc/driver/nvidia/gpus/*/information")]
    names = [first_group(r"^Model:\s+(.+)$", text) for text in told]
    return [
        {**dict.fromkeys(COLUMNS.values()), "name": name, "driver": driver}
        for name in names
        if name and driver
    ]


def loaded_driver(place: Place) -> str | None:
    """Version of the module that is loaded."""
    return first_group(
        r"Kernel Module(?: for \S+)?\s+(\d[\d.]+)", place.text("/proc/driver/nvidia/version")
    )


def kernel_module(place: Place) -> dict[str, Any]:
    """The kernel module of the driver: there for this kernel, signed, loaded."""
    for name in module_names(place):
        file = place.ask("modinfo", "--field=filename", name)
        if file.code == 0:
            signer = place.ask("modinfo", "--field=signer", name)
            return {
                "name": name,
                "loaded": loaded_driver(place),
                "installed": True,
                "signer": signer.out or None if signer.code == 0 else None,
                "keys": [path for path in KEYS if place.exists(path)],
            }
    return {"loaded": loaded_driver(place), "installed": False, "signer": None}


def module_names(place: Place) -> list[str]:
    """What the module may be called: as the running kernel lists it, else each known name."""
    kernel = place.text("/proc/sys/kernel/osrelease") or "*"
    lists = place.found(f"/lib/modules/{kernel}/modules.dep")
    if not lists:
        return list(MODULES)
    names = [name for path in lists for name in SPELT.findall(place.text(path))]
    return [name for name in dict.fromkeys(names) if not name.endswith(NOT_THE_DRIVER)]


def secure_boot(place: Place) -> bool | None:
    """Whether the firmware lets only signed code run; None without UEFI.

    A file of efivarfs is four bytes of attributes and then the variable.
    """
    value = place.data(SECURE_BOOT, 5)[4:]
    return value[0] == 1 if value else None


def driver_packages(place: Place) -> list[str]:
    """Installed Debian packages with a Linux driver, from dpkg's status file."""
    found = []
    for stanza in place.text(DPKG_STATUS).split("\n\n"):
        name = first_group(r"^Package: (.+)$", stanza) or ""
        if DRIVER_PACKAGE.fullmatch(name) and re.search(
            r"^Status: \w+ ok installed$", stanza, re.MULTILINE
        ):
            found.append(name)
    return found
