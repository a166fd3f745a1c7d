"""The GPU and its driver."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.doctor.checks.advice import Advice
from experiments.doctor.checks.cuda import branch
from experiments.doctor.facts import Facts, Gpus
from experiments.doctor.finding import Finding, ok, problem, warning
from experiments.doctor.probe.gpu import KEYS

SUBJECT = "gpu"
TELLS_CAPABILITY = 510
"""Branch of the driver from which on nvidia-smi knows `compute_cap`."""
OLD_ONES = "A GPU older than 2018 also needs -e cuda_driver_modules=proprietary."


def check(facts: Facts, advice: Advice) -> Iterator[Finding]:
    """What is there, or what keeps it from working."""
    gpu = facts.gpu
    for one in gpu.gpus:
        memory = f", {one.memory_mib / 1024:.0f} GiB" if one.memory_mib else ""
        capability = (
            f"compute capability {one.compute_capability}"
            if one.compute_capability
            else "compute capability not reported by a driver this old"
            if branch(one.driver) < TELLS_CAPABILITY
            else "compute capability not reported"
        )
        yield ok(SUBJECT, f"{one.name}{memory}, {capability}, driver {one.driver}.")
    if gpu.tegra:
        yield warning(
            SUBJECT,
            "A Jetson: its GPU is part of the processor and works only with JetPack's own CUDA "
            "and PyTorch. Engines here use only its processor.",
            "Measure it as a computer without a GPU, and leave it out of group cuda_nodes.",
        )
        return
    if gpu.gpus:
        return
    refused = _refused(gpu)
    if refused is not None:
        yield refused
    elif gpu.nvidia_smi_error is not None and gpu.nvidia_smi is not None:
        yield _failing(facts, gpu.nvidia_smi_error, advice)
    elif gpu.on_bus:
        yield _without_driver(gpu, advice)
    elif not gpu.others:
        yield ok(SUBJECT, f"No NVIDIA GPU{_lent(facts)}: models run on the processor.")


def _refused(gpu: Gpus) -> Finding | None:
    """Secure Boot loads a module only if its signer's key is enrolled in the firmware."""
    if not (gpu.secure_boot and gpu.module.installed and gpu.module.loaded is None):
        return None
    if gpu.module.signer is None:
        return problem(
            SUBJECT,
            f"Secure Boot is on and the driver's kernel module {_named(gpu)}is not signed, so "
            "the kernel refuses it.",
            "On Ubuntu, install the signed one (linux-modules-nvidia-<branch>-server-<kernel>); "
            "elsewhere, sign it and enrol the key at the machine's own screen (mokutil "
            "--import), or turn off Secure Boot in the firmware.",
        )
    key = next((path for path in KEYS if path in gpu.module.keys), KEYS[-1])
    return problem(
        SUBJECT,
        f"Secure Boot is on and the driver's kernel module {_named(gpu)}signed by "
        f"{gpu.module.signer!r} is not loaded; that key is probably not enrolled.",
        f"On the node: sudo mokutil --import {key}, then restart and enrol it at the machine's "
        "own screen; or turn off Secure Boot in the firmware.",
    )


def _named(gpu: Gpus) -> str:
    """Return the module's name where a distribution renames it."""
    return f"{gpu.module.name} " if gpu.module.name not in (None, "nvidia") else ""


def _failing(facts: Facts, error: str, advice: Advice) -> Finding:
    sentence = f"nvidia-smi fails: {error.rstrip('.')}."
    if facts.wsl is not None:
        return problem(SUBJECT, sentence, "Update NVIDIA's driver in Windows, then wsl --shutdown.")
    if "mismatch" in error:
        return problem(
            SUBJECT, sentence, "The driver was updated while it was loaded: restart the machine."
        )
    if facts.gpu.nouveau:
        return _nouveau(advice)
    if not facts.gpu.is_there:
        return warning(
            SUBJECT,
            f"A driver is installed, but there is no NVIDIA GPU. {sentence}",
            "Remove the driver, or install the GPU.",
        )
    return problem(
        SUBJECT,
        sentence,
        "For details: sudo dmesg | grep -i nvidia on the node. For another driver: "
        f"{advice.driver()}",
    )


def _without_driver(gpu: Gpus, advice: Advice) -> Finding:
    if gpu.nouveau:
        return _nouveau(advice)
    signed = (
        ("Secure Boot is on and requires a signed one (docs/pcs.md). ") if gpu.secure_boot else ""
    )
    return warning(
        SUBJECT,
        "There is an NVIDIA GPU but no driver for it.",
        f"{signed}{OLD_ONES} For a driver: {advice.driver()}",
    )


def _nouveau(advice: Advice) -> Finding:
    return problem(
        SUBJECT,
        "The driver nouveau controls the GPU; CUDA needs NVIDIA's own.",
        f"{OLD_ONES} For NVIDIA's driver, which prevents nouveau from loading: {advice.driver()}",
    )


def _lent(facts: Facts) -> str:
    if facts.wsl is None or facts.wsl.windows_libcuda:
        return ""
    return " that Windows would lend"
