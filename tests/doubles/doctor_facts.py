"""What nodes told the doctor, as the situations that it knows look."""

from __future__ import annotations

from typing import Any

from experiments.doctor.facts import Facts
from experiments.doctor.finding import NodeAnswer

ADDRESS = "192.0.2.7"
PC: dict[str, Any] = {
    "base": {
        "board": "OptiPlex 7050",
        "cpu_model": "Intel(R) Core(TM) i5-7500 CPU @ 3.40GHz",
        "cores": 4,
        "architecture": "x86_64",
        "kernel": "6.8.0-48-generic",
        "os": "Ubuntu 24.04.1 LTS",
        "memory_mib": 15876,
        "available_mib": 14210,
        "swap_mib": 4096,
        "nic": "enp0s31f6",
        "wireless": False,
        "link_mbit": 1000,
        "clock_service": "systemd-timesyncd",
    },
    "machine": {
        "kind": "native",
        "os_id": "ubuntu",
        "userland_bits": 64,
        "dpkg_architecture": "amd64",
        "python": "3.12.3",
    },
    "network": {
        "addresses": {"127.0.0.1": "lo", ADDRESS: "enp0s31f6"},
        "interface": "enp0s31f6",
        "listening": [22],
    },
    "disks": [{"path": "/", "total_mib": 476_000, "free_mib": 300_000}],
}
PI: dict[str, Any] = {
    **PC,
    "base": {
        **PC["base"],
        "board": "Raspberry Pi 4 Model B Rev 1.5",
        "cpu_model": "Cortex-A72",
        "architecture": "aarch64",
        "kernel": "6.6.51+rpt-rpi-v8",
        "os": "Debian GNU/Linux 12 (bookworm)",
        "memory_mib": 3793,
        "available_mib": 3301,
        "nic": "eth0",
    },
    "machine": {
        "kind": "pi",
        "os_id": "debian",
        "userland_bits": 64,
        "dpkg_architecture": "arm64",
        "python": "3.11.2",
    },
}
GPU: dict[str, Any] = {
    "on_bus": 1,
    "gpus": [
        {
            "name": "NVIDIA GeForce RTX 4090",
            "driver": "550.54.14",
            "compute_capability": "8.9",
            "memory_mib": 24564,
        }
    ],
    "nvidia_smi": "/usr/bin/nvidia-smi",
    "module": {"loaded": "550.54.14", "installed": True, "signer": "Canonical Ltd."},
}
PC_GPU: dict[str, Any] = {**PC, "gpu": GPU}
WSL: dict[str, Any] = {
    **PC,
    "base": {
        **PC["base"],
        "board": None,
        "kernel": "5.15.167.4-microsoft-standard-WSL2",
        "nic": "eth0",
        "wireless": None,
        "link_mbit": None,
    },
    "machine": {**PC["machine"], "kind": "wsl2"},
    "gpu": {**GPU, "on_bus": 0, "nvidia_smi": "/usr/lib/wsl/lib/nvidia-smi", "module": {}},
    "wsl": {
        "version": "2.3.26",
        "networking": "mirrored",
        "forwards": [],
        "windows_libcuda": True,
    },
}
PETALS = "/opt/llama-herd/engines/petals/venv"
TORCH_OK: dict[str, Any] = {
    "path": PETALS,
    "kind": "venv",
    "torch": "2.4.1+cu121",
    "torch_cuda": "12.1",
    "bitsandbytes": "0.41.1",
    "bitsandbytes_cuda": ["110", "111", "114", "115", "117", "118", "120", "121", "122"],
    "petals": "2.2.0.post1",
}


def changed(facts: dict[str, Any], **parts: Any) -> dict[str, Any]:  # noqa: ANN401
    """The same facts with some parts other; a part that is a mapping is changed, not replaced."""
    new = dict(facts)
    for name, value in parts.items():
        before = facts.get(name)
        new[name] = {**before, **value} if isinstance(before, dict) else value
    return new


def answer(facts: dict[str, Any], node: str = "node", **told: Any) -> NodeAnswer:  # noqa: ANN401
    """What a node that tells this answers."""
    known: dict[str, Any] = {"address": ADDRESS, "engine_address": ADDRESS, **told}
    return NodeAnswer(node=node, facts=Facts.model_validate(facts), **known)
