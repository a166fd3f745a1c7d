"""CUDA toolkits: which there are, and who sees them."""

from __future__ import annotations

from collections.abc import Iterator

from core.foreign import whole
from experiments.doctor.checks.advice import Advice
from experiments.doctor.facts import Cuda, Facts, Toolkit
from experiments.doctor.finding import Finding, ok, problem, warning

SUBJECT = "cuda"
OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
"""CUDA's major version to the oldest branch of the driver that runs it (NVIDIA, CUDA compatibility,
minor version compatibility)."""


LAST_BRANCHES = {340: "Tesla", 390: "Fermi", 470: "Kepler"}
"""Last branches of the driver for a generation of GPUs (NVIDIA, legacy GPUs)."""


def check(facts: Facts, advice: Advice) -> Iterator[Finding]:
    """A line for each toolkit, then the traps."""
    cuda = facts.cuda
    for toolkit in cuda.toolkits:
        seen = _seen_by(toolkit, cuda)
        kind = "inside Conda, " if toolkit.conda else ""
        what = "" if toolkit.compiler else "without a compiler, "
        yield ok(
            SUBJECT,
            f"CUDA {toolkit.version or 'of unknown version'} at {toolkit.path}: {kind}{what}"
            f"seen by {', '.join(seen) or 'nothing outside'}.",
        )
    yield from _strangers(cuda)
    if not cuda.toolkits:
        yield ok(
            SUBJECT,
            "No CUDA toolkit. None is needed: engines include the parts of it that they use.",
        )
    system = [toolkit for toolkit in cuda.toolkits if not toolkit.conda]
    # Without a compiler it is the runtime that PyTorch's packages bring, which is as it should be.
    conda = [toolkit for toolkit in cuda.toolkits if toolkit.conda and toolkit.compiler]
    if conda and not any(toolkit.compiler for toolkit in system):
        yield _conda_only(conda, advice)
    elif conda:
        yield from _conda_first(cuda, conda)
    yield from _loader(cuda, system, advice)
    yield from _driver(facts, system, advice)
    if facts.closed_homes:
        names = ", ".join(facts.closed_homes)
        yield ok(SUBJECT, f"Not examined, because this user has no access: {names}.")


def _seen_by(toolkit: Toolkit, cuda: Cuda) -> list[str]:
    below = f"{toolkit.path.rstrip('/')}/"
    seen = []
    if cuda.login and (cuda.login.nvcc or "").startswith(below):
        seen.append("login shell")
    if (cuda.nvcc_plain or "").startswith(below):
        seen.append("plain environment")
    if any(path.startswith(below) for path in cuda.loader_libcudart):
        seen.append("loader cache")
    return seen


def _strangers(cuda: Cuda) -> Iterator[Finding]:
    """Compilers that belong to none of the folders, such as a script that starts another."""
    found = {
        "A plain environment": cuda.nvcc_plain,
        "A login shell": cuda.login and cuda.login.nvcc,
    }
    for who, compiler in found.items():
        if compiler and not any(compiler.startswith(f"{one.path}/") for one in cuda.toolkits):
            yield ok(SUBJECT, f"{who} finds {compiler}, which is not in a toolkit's folder.")


def _conda_only(conda: list[Toolkit], advice: Advice) -> Finding:
    """A warning, because nothing here needs a compiler of CUDA."""
    places = ", ".join(toolkit.path for toolkit in conda)
    return warning(
        SUBJECT,
        f"The CUDA toolkit exists only inside Conda ({places}): nothing finds it outside that "
        "environment, so neither units nor builds do.",
        "Petals needs no toolkit, only the driver and the PyTorch that its role pins. For "
        f"builds with nvcc, let the role install the system's toolkit: {advice.toolkit()}",
    )


def _conda_first(cuda: Cuda, conda: list[Toolkit]) -> Iterator[Finding]:
    compiler = (cuda.login and cuda.login.nvcc) or ""
    if any(compiler.startswith(f"{toolkit.path}/") for toolkit in conda):
        yield warning(
            SUBJECT,
            f"A login shell finds Conda's {compiler} before the system's compiler.",
            "On the node: conda config --set auto_activate_base false",
        )


def _loader(cuda: Cuda, system: list[Toolkit], advice: Advice) -> Iterator[Finding]:
    missing = [
        toolkit
        for toolkit in system
        if toolkit.path != "/usr" and "loader cache" not in _seen_by(toolkit, cuda)
    ]
    if missing and not cuda.loader_libcudart:
        yield warning(
            SUBJECT,
            f"The loader's cache lists none of CUDA's libraries, although {missing[0].path} "
            "exists.",
            "Add its library folder to a file in /etc/ld.so.conf.d and run sudo ldconfig. Or "
            f"let the role install the toolkit: {advice.toolkit()}",
        )
    path = (cuda.login and cuda.login.ld_library_path) or ""
    if "cuda" in path or "conda" in path:
        yield warning(
            SUBJECT,
            f"LD_LIBRARY_PATH is set for logins ({path}): units do not get it, and it can hide "
            "the libraries that PyTorch includes.",
            "Remove it from the shell's start-up files; the loader's cache suffices.",
        )


def _driver(facts: Facts, system: list[Toolkit], advice: Advice) -> Iterator[Finding]:
    for gpu in facts.gpu.gpus[:1]:
        for toolkit in system:
            oldest = oldest_driver(toolkit.version)
            if oldest is not None and branch(gpu.driver) < oldest:
                yield problem(
                    SUBJECT,
                    f"CUDA {toolkit.version} needs driver {oldest} or newer, but this is "
                    f"{gpu.driver}.",
                    "Update NVIDIA's driver in Windows."
                    if facts.wsl
                    else newer_driver(gpu.driver, advice),
                )


def newer_driver(driver: str, advice: Advice) -> str:
    """How to come by a newer driver than this one."""
    generation = LAST_BRANCHES.get(branch(driver))
    if generation is None:
        return f"Install a newer driver: {advice.driver()}"
    return (
        f"There is no newer one for a GPU of NVIDIA's {generation} generation: models run on "
        f"the processor there. For any other GPU, install one: {advice.driver()}"
    )


def oldest_driver(cuda_version: str | None) -> int | None:
    """Branch of the driver that a CUDA version needs; None where that is not known."""
    major = (cuda_version or "").partition(".")[0]
    number = whole(major)
    return None if number is None else OLDEST_DRIVER.get(number)


def branch(driver: str) -> int:
    """`550` of `550.54.14`; a very new one for what is no version."""
    major = driver.partition(".")[0]
    number = whole(major)
    return 1 << 30 if number is None else number
