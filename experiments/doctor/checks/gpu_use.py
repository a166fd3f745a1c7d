"""Whether engines use the GPU that is there, and compute on the one that they are to use."""

from __future__ import annotations

from collections.abc import Iterator

from experiments.doctor.checks.advice import Advice
from experiments.doctor.facts import Facts
from experiments.doctor.finding import Finding, NodeAnswer, Proof, Severity, ok, problem, warning
from experiments.fleet import commands

SUBJECT = "gpu"
SPELLED = {"vulkan": "Vulkan", "cuda": "CUDA"}
MESA = "mesa-vulkan-drivers"


def check(answer: NodeAnswer, facts: Facts, advice: Advice) -> Iterator[Finding]:
    """What the inventory asks for, then a proof for each engine, or what could be used."""
    for gpu in facts.gpu.others:
        yield ok(SUBJECT, f"{gpu.name}, driver {gpu.driver}: usable by Vulkan.")
    if answer.herd_gpu is not None:
        yield from _wished(answer, facts, advice)
    else:
        yield from _unused(answer, facts, advice)
    for proof in answer.proofs:
        yield _proved(proof, answer, facts, advice)


def _wished(answer: NodeAnswer, facts: Facts, advice: Advice) -> Iterator[Finding]:
    """Find what the inventory asks for and the node lacks."""
    wish = answer.herd_gpu
    if wish == "cuda" and not facts.gpu.is_there:
        yield problem(
            SUBJECT,
            "The inventory says herd_gpu: cuda, but there is no NVIDIA GPU.",
            f"In {commands.inventory_path()}, set herd_gpu of {answer.node} to none, or to vulkan "
            "if it has another GPU.",
        )
    elif wish == "vulkan" and not facts.gpu.vulkan_drivers and not answer.proofs:
        yield problem(
            SUBJECT,
            "The inventory says herd_gpu: vulkan, but no Vulkan driver is installed.",
            _vulkan_driver(answer, facts),
        )
    if not facts.provisioned.gpu_engines:
        yield warning(
            SUBJECT,
            f"The inventory says herd_gpu: {wish}, but no engine was installed for it yet.",
            advice.engines(),
        )


def _unused(answer: NodeAnswer, facts: Facts, advice: Advice) -> Iterator[Finding]:
    """A GPU that works and that no engine uses: advice, because models run without it, too."""
    # Next to NVIDIA's, the processor's own graphics are for the screen.
    nvidias = [gpu.name for gpu in facts.gpu.gpus]
    names = nvidias or [gpu.name for gpu in facts.gpu.others]
    if not names or facts.gpu.tegra or facts.provisioned.gpu_engines:
        return
    if facts.wsl is not None:
        value = "herd_gpu: cuda"
    elif facts.gpu.gpus:
        value = "herd_gpu: vulkan (or cuda)"
    else:
        value = "herd_gpu: vulkan"
    yield Finding(
        SUBJECT,
        Severity.OK,
        f"No engine uses {' or '.join(dict.fromkeys(names))}.",
        f"To use it, add {value} to {answer.node} in {commands.inventory_path()}. Then: "
        f"{advice.engines()}",
    )


def _proved(proof: Proof, answer: NodeAnswer, facts: Facts, advice: Advice) -> Finding:
    by = SPELLED[proof.backend]
    if not proof.reason:
        software = ", which is software: the processor computes" if proof.is_software else ""
        return ok(SUBJECT, f"{proof.what} computes by {by} on {proof.device}{software}.")
    return problem(
        SUBJECT,
        f"{proof.what} does not compute by {by}: {proof.reason.rstrip('.')}.",
        _remedy(proof, answer, facts, advice),
    )


def _remedy(proof: Proof, answer: NodeAnswer, facts: Facts, advice: Advice) -> str:
    """The first thing that is missing; where nothing is, what a unit may see is set up again."""
    if "herd_gpu_index" in str(proof.reason):
        return f"Correct herd_gpu_index of {answer.node} in {commands.inventory_path()}."
    if proof.backend == "vulkan" and not facts.gpu.vulkan_drivers:
        return _vulkan_driver(answer, facts)
    if proof.backend == "cuda" and facts.wsl is not None and not facts.wsl.windows_libcuda:
        return "Install NVIDIA's driver in Windows, then run wsl --shutdown in PowerShell."
    if proof.backend == "cuda" and facts.wsl is None and not facts.gpu.gpus:
        return f"Install NVIDIA's driver: {advice.driver()}"
    return f"If no other program uses the GPU, provision the node again: {advice.engines()}"


def _vulkan_driver(answer: NodeAnswer, facts: Facts) -> str:
    if facts.wsl is not None:
        return (
            f"WSL has no Vulkan driver for NVIDIA: in {commands.inventory_path()}, set herd_gpu of "
            f"{answer.node} to cuda."
        )
    if facts.gpu.is_there:
        return (
            "Install the package of NVIDIA's driver with its Vulkan part: nvidia-vulkan-icd on "
            "Debian, libnvidia-gl-<branch> on Ubuntu."
        )
    install = f"{commands.ASKS_NOTHING}; apt-get update && apt-get install -y {MESA}"
    return commands.on_node(answer.node, install)
