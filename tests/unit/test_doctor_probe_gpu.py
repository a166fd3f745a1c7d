"""What the doctor's probe tells of NVIDIA's GPUs and their driver on prepared machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.doctor.probe.gpu import SECURE_BOOT, gpu
from tests.doubles.doctor_place import prepared


def test_a_linux_driver_is_told_by_the_packages_that_are_installed(tmp_path: Path) -> None:
    states = {
        "nvidia-driver-550": "install ok installed",
        "libnvidia-compute-550": "hold ok installed",
        "cuda-toolkit-12-4": "install ok installed",
        "nvidia-headless-535": "deinstall ok config-files",
        "cuda-12-4": "install ok installed",
    }
    status = "\n\n".join(f"Package: {name}\nStatus: {state}" for name, state in states.items())

    told = gpu(prepared(tmp_path, {"/var/lib/dpkg/status": status}))

    assert told["driver_packages"] == ["nvidia-driver-550", "libnvidia-compute-550", "cuda-12-4"]


def test_secure_boot_and_an_unsigned_module_are_told(tmp_path: Path) -> None:
    files = {
        SECURE_BOOT: b"\x06\0\0\0\x01",
        "/sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
        "/sys/bus/pci/devices/0000:01:00.0/class": "0x030000\n",
        "/sys/bus/pci/devices/0000:01:00.1/vendor": "0x10de\n",
        "/sys/bus/pci/devices/0000:01:00.1/class": "0x040300\n",
        "/proc/modules": "nouveau 2609152 1 - Live 0x0\n",
    }

    told = gpu(prepared(tmp_path, files, modinfo=""))

    assert (told["secure_boot"], told["nouveau"]) == (True, True)
    assert told["on_bus"] == 1, "its sound is no GPU"
    told_of: dict[str, object] = {
        "name": "nvidia",
        "loaded": None,
        "installed": True,
        "signer": None,
        "keys": [],
    }
    assert told["module"] == told_of


KERNEL = "6.1.0-28-amd64"


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        ("updates/dkms/nvidia.ko.zst: updates/dkms/x.ko", "nvidia"),
        (
            "updates/dkms/nvidia-current.ko.xz:\nupdates/dkms/nvidia-current-drm.ko.xz:",
            "nvidia-current",
        ),
        ("updates/dkms/nvidia-current-open.ko:", "nvidia-current-open"),
        ("updates/dkms/nvidia-tesla-470.ko:", "nvidia-tesla-470"),
        ("nvidia.ko:", "nvidia"),
        ("kernel/drivers/video/fbdev/nvidia/nvidiafb.ko:\nkernel/x/nvidia-drm.ko:", None),
    ],
)
def test_the_module_is_found_by_whatever_name_a_distribution_gives_it(
    tmp_path: Path, listed: str, name: str | None
) -> None:
    files = {
        "/proc/sys/kernel/osrelease": f"{KERNEL}\n",
        f"/lib/modules/{KERNEL}/modules.dep": f"kernel/fs/ext4/ext4.ko.xz:\n{listed}\n",
        "/var/lib/dkms/mok.pub": "",
    }

    told = gpu(prepared(tmp_path, files, modinfo="DKMS module signing key"))["module"]

    assert told.get("name") == name
    assert told["installed"] == (name is not None)
    if name:
        assert told["keys"] == ["/var/lib/dkms/mok.pub"]


def test_an_old_driver_is_asked_again_without_what_it_does_not_know(tmp_path: Path) -> None:
    smi = (
        "#!/bin/sh\n"
        'case "$*" in *compute_cap*) echo \'Field "compute_cap" is not a valid field to query.\'\n'
        "exit 2;; esac\n"
        "echo 'GeForce GTX 580, 390.157, 1467'\n"
    )
    told = gpu(prepared(tmp_path, {"/usr/bin/nvidia-smi": smi}))
    assert told["nvidia_smi_error"] is None
    assert told["gpus"] == [
        {
            "name": "GeForce GTX 580",
            "driver": "390.157",
            "compute_capability": None,
            "memory_mib": 1467,
        }
    ]


def test_without_nvidia_smi_the_loaded_module_tells_its_gpus(tmp_path: Path) -> None:
    """Debian has nvidia-smi in a separate package."""
    files = {
        "/proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01",
        "/proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t NVIDIA GeForce RTX 3060\n",
    }
    (told,) = gpu(prepared(tmp_path, files))["gpus"]
    assert (told["name"], told["driver"]) == ("NVIDIA GeForce RTX 3060", "535.183.01")


def test_a_jetson_is_known_by_its_processor(tmp_path: Path) -> None:
    tree = {"/sys/firmware/devicetree/base/compatible": "nvidia,p3768-0000\0nvidia,tegra234\0"}
    assert gpu(prepared(tmp_path, tree))["tegra"]
    assert not gpu(prepared(tmp_path / "other", {}))["tegra"]


def test_gpus_are_those_that_nvidia_smi_lists(tmp_path: Path) -> None:
    smi = (
        "#!/bin/sh\n"
        "echo 'NVIDIA GeForce RTX 4090, 550.54.14, 8.9, 24564'\n"
        "echo 'NVIDIA Graphics Device, 550.54.14, 8.9, [N/A]'\n"
    )
    files = {
        "/usr/bin/nvidia-smi": smi,
        "/proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64"
        "  550.54.14  Release Build  (dvs-builder@U16)\n",
    }

    told = gpu(prepared(tmp_path, files))

    assert [one["memory_mib"] for one in told["gpus"]] == [24564, None]
    assert told["gpus"][0]["name"] == "NVIDIA GeForce RTX 4090"
    assert told["gpus"][0]["compute_capability"] == "8.9"
    assert (told["module"]["loaded"], told["nvidia_smi_error"]) == ("550.54.14", None)


def test_why_nvidia_smi_fails_is_told(tmp_path: Path) -> None:
    smi = "#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18\n"

    told = gpu(prepared(tmp_path, {"/usr/lib/wsl/lib/nvidia-smi": smi}))

    assert told["nvidia_smi"] == "/usr/lib/wsl/lib/nvidia-smi"
    assert told["nvidia_smi_error"] == "Failed to initialize NVML: Driver/library version mismatch"
