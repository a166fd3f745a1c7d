"""NVIDIA's GPUs, their driver, and what keeps it from loading."""

from __future__ import annotations

import re
from typing import Any

from experiments.doctor.probe.machine import DPKG_STATUS, WSL_LIBRARIES
from experiments.doctor.probe.place import Place, first_group

NVIDIA = "0x10de"
DISPLAY = "0x03"
"""PCI base class of display controllers."""
SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
COLUMNS = ("name", "driver", "compute_capability", "memory_mib")
QUERY = "--query-gpu=name,driver_version,compute_cap,memory.total"
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
        None,
    )
    gpus, error = seen_by_driver(place, smi) if smi else ([], None)
    return {
        "on_bus": on_bus(place),
        "gpus": gpus,
        "nvidia_smi": smi,
        "nvidia_smi_error": error,
        "module": module(place),
        "nouveau": re.search(r"^nouveau ", place.text("/proc/modules"), re.MULTILINE) is not None,
        "secure_boot": secure_boot(place),
        "driver_packages": driver_packages(place),
    }


def on_bus(place: Place) -> int:
    """NVIDIA's display controllers on the PCI bus."""
    count = 0
    for vendor in place.found("/sys/bus/pci/devices/*/vendor"):
        kind = place.text(vendor.replace("/vendor", "/class"))
        count += place.text(vendor) == NVIDIA and kind.startswith(DISPLAY)
    return count


def seen_by_driver(place: Place, smi: str) -> tuple[list[dict[str, Any]], str | None]:
    """What nvidia-smi lists, or why it cannot."""
    said = place.ask(str(place.path(smi)), QUERY, "--format=csv,noheader,nounits")
    if said.code != 0:
        return [], (said.out or said.err).partition("\n")[0] or "it does not run"
    gpus: list[dict[str, Any]] = []
    for line in said.out.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) == len(COLUMNS):
            row: dict[str, Any] = dict(zip(COLUMNS, values))
            row["memory_mib"] = int(values[3]) if values[3].isdigit() else None
            gpus.append(row)
    return gpus, None


def module(place: Place) -> dict[str, Any]:
    """The kernel module of the driver: there for this kernel, signed, loaded."""
    loaded = first_group(
        r"Kernel Module(?: for \S+)?\s+(\d[\d.]+)", place.text("/proc/driver/nvidia/version")
    )
    file = place.ask("modinfo", "--field=filename", "nvidia")
    signer = place.ask("modinfo", "--field=signer", "nvidia")
    return {
        "loaded": loaded,
        "installed": file.code == 0,
        "signer": signer.out or None if signer.code == 0 else None,
    }


def secure_boot(place: Place) -> bool | None:
    """Whether the firmware lets only signed code run; None without UEFI.

    A file of efivarfs is four bytes of attributes and then the variable.
    """
    data = place.data(SECURE_BOOT, 5)
    return None if len(data) < 5 else data[4] == 1  # noqa: PLR2004


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
