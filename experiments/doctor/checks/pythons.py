"""PyTorch, and whether bitsandbytes can load with it.

Petals pins bitsandbytes 0.41.1, which has a library for each CUDA from 11.0 to 12.2 and takes the
one that PyTorch was built for. PyTorch from 2.5 on is built for a newer CUDA: no matter which CUDA
the machine has, bitsandbytes then has no library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.foreign import decimal, whole
from experiments.doctor.checks.advice import Advice
from experiments.doctor.checks.cuda import branch, newer_driver, oldest_driver
from experiments.doctor.facts import Facts, Python
from experiments.doctor.finding import Finding, ok, problem, warning

SUBJECT = "python"
PINNED = "0.41.1"
_CODE = re.compile(r"[0-9]{2,4}")
SERVED = ("110", "111", "114", "115", "117", "118", "120", "121", "122")
"""Of its wheel."""
RIGHT_TORCH = "PyTorch 2.4.1, built for CUDA 12.1"
LEAST_CAPABILITY, MOST_CAPABILITY = 5.0, 9.0
"""Oldest and newest compute capability that PyTorch built for those has code for."""


def check(facts: Facts, advice: Advice) -> Iterator[Finding]:
    """A line for each environment, then what cannot work in it."""
    if not facts.pythons:
        yield ok(SUBJECT, "No PyTorch.")
    if facts.pythons_left_out:
        yield ok(SUBJECT, "Not all environments were examined: there are too many.")
    for python in facts.pythons:
        yield ok(SUBJECT, f"{python.path} ({python.kind}): {_contents(python)}.")
        yield from _served(facts, python, advice)
        if python.torch_cuda and facts.gpu.gpus:
            yield from _driver(facts, python, python.torch_cuda, advice)
        yield from _imported(facts, python, advice)


def _own_environment(advice: Advice) -> str:
    return (
        f"Reinstalling CUDA does not help. Give Petals its own environment with {RIGHT_TORCH}: "
        f"{advice.petals()}"
    )


def _contents(python: Python) -> str:
    parts = []
    if python.torch:
        parts.append(f"PyTorch {python.torch} for {_built_for(python)}")
    if python.bitsandbytes:
        parts.append(f"bitsandbytes {python.bitsandbytes}")
    if python.petals:
        parts.append(f"Petals {python.petals}")
    return ", ".join(parts)


def _built_for(python: Python) -> str:
    return f"CUDA {python.torch_cuda}" if python.torch_cuda else "the CPU"


def _served(facts: Facts, python: Python, advice: Advice) -> Iterator[Finding]:
    """Whether bitsandbytes has a library for this PyTorch."""
    if python.torch is None:
        return
    if python.torch_cuda is None:
        if facts.gpu.is_there and python.petals:
            yield warning(
                SUBJECT,
                f"{python.path}: PyTorch is built for the CPU, so Petals does not use the GPU.",
                "To make it permanent, set `petals_variant: cuda` for this node in the "
                f"inventory. Now: {advice.petals()}",
            )
        return
    if python.petals and not python.bitsandbytes:
        yield problem(
            SUBJECT,
            f"{python.path}: Petals is installed without bitsandbytes, which every server imports.",
            advice.petals(),
        )
    told = python.bitsandbytes_cuda if python.bitsandbytes else SERVED
    served = tuple(code for code in told if _CODE.fullmatch(code))
    wanted = "".join(python.torch_cuda.split(".")[:2])
    if wanted in served:
        return
    is_new = bool(served) and (whole(wanted) or 0) > max(int(code) for code in served)
    named = f"bitsandbytes {python.bitsandbytes or PINNED}"
    pinned = "" if python.bitsandbytes else ", which Petals pins,"
    needs_it = python.bitsandbytes or python.petals
    verdict = problem if facts.gpu.is_there and needs_it else warning
    yield verdict(
        SUBJECT,
        f"{python.path}: PyTorch {python.torch} is {'too new, ' if is_new else ''}built for CUDA "
        f"{python.torch_cuda}; "
        f"{named}{pinned} {_range(served)}, so it cannot load for the GPU.",
        _own_environment(advice),
    )


def _range(served: tuple[str, ...]) -> str:
    if not served:
        return "has no library for any CUDA version"
    first, last = (f"{code[:-1]}.{code[-1]}" for code in (min(served), max(served)))
    return f"supports CUDA {first} to {last}"


def _driver(facts: Facts, python: Python, cuda: str, advice: Advice) -> Iterator[Finding]:
    gpu = facts.gpu.gpus[0]
    oldest = oldest_driver(cuda)
    if oldest is not None and branch(gpu.driver) < oldest:
        yield problem(
            SUBJECT,
            f"{python.path}: PyTorch for CUDA {cuda} needs driver {oldest} or newer, but this "
            f"is {gpu.driver}.",
            "Update NVIDIA's driver in Windows." if facts.wsl else newer_driver(gpu.driver, advice),
        )
    capability = decimal(gpu.compute_capability)
    if python.petals and capability is not None and capability < LEAST_CAPABILITY:
        yield problem(
            SUBJECT,
            f"{python.path}: the GPU is of compute capability {gpu.compute_capability}, which "
            f"is older than PyTorch for CUDA {cuda} supports.",
            "Run Petals on another GPU, or on this node's CPU.",
        )
    is_newer = capability is not None and capability > MOST_CAPABILITY
    if python.petals and is_newer and "".join(cuda.split(".")[:2]) in SERVED:
        yield problem(
            SUBJECT,
            f"{python.path}: the GPU is of compute capability {gpu.compute_capability}, which "
            f"is newer than PyTorch for CUDA {cuda} supports.",
            "Run Petals on another GPU, or on this node's CPU.",
        )


def _imported(facts: Facts, python: Python, advice: Advice) -> Iterator[Finding]:
    """What `--deep` saw."""
    imported = python.imported
    if imported is None:
        return
    if imported.error is not None:
        what = f"importing {imported.module}" if imported.module else "importing"
        error = imported.error.rstrip(".")
        yield problem(
            SUBJECT, f"{python.path}: {what} ended with {error}.", _own_environment(advice)
        )
    elif python.torch_cuda and facts.gpu.gpus and imported.torch_sees_gpu is False:
        yield problem(
            SUBJECT,
            f"{python.path}: PyTorch imports but sees no GPU, though the driver lists one.",
            "Check whether CUDA_VISIBLE_DEVICES or LD_LIBRARY_PATH is set, and restart the "
            "machine.",
        )
    else:
        names = " and ".join(imported.modules) or "the installed packages"
        yield ok(SUBJECT, f"{python.path}: importing {names} succeeded.")
