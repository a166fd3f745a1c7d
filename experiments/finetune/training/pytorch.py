"""PyTorch, which only training needs: whether it is there, and how it computes."""

from __future__ import annotations

import importlib
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.errors import HerdError

LIBRARIES = ("torch", "transformers", "peft")


@dataclass(frozen=True)
class Computer:
    """What computes the training.

    Attributes:
        kind: `cpu` or `cuda`.
        name: of the CPU or GPU, for people.
        threads: of the CPU; sums differ with their number, so a training keeps it.
    """

    kind: str
    name: str
    threads: int

    def __str__(self) -> str:
        if self.kind == "cpu":
            return f"{self.name}, {self.threads} {'thread' if self.threads == 1 else 'threads'}"
        return f"{self.name}, bfloat16"


def require_pytorch() -> None:
    """Refuse where a library of training is missing.

    Raises:
        HerdError: one is.
    """
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise HerdError(
            f"Fine-tuning needs PyTorch ({', '.join(missing)} not installed): run "
            "`make setup-finetune`, then repeat the command."
        )


def library_versions() -> dict[str, str]:
    """Name to version of the libraries that compute."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def choose_computer() -> Computer:
    """Return the GPU that PyTorch sees first, else the CPU with PyTorch's number of threads."""
    torch = quiet_torch()
    if torch.cuda.is_available():
        return Computer("cuda", torch.cuda.get_device_name(0), torch.get_num_threads())
    return Computer("cpu", _cpu_name(), torch.get_num_threads())


def quiet_torch() -> Any:  # noqa: ANN401 - PyTorch's types are not read here
    """PyTorch, with transformers set to print nothing and to fetch nothing."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CUDA's sums in one order
    # transformers warns of its own calls; nobody here can change them
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    logging = importlib.import_module("transformers.utils.logging")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return importlib.import_module("torch")


def serves_4_bits() -> bool:
    """Whether bitsandbytes is installed, which QLoRA needs."""
    return find_spec("bitsandbytes") is not None


@contextmanager
def repeatable(computer: Computer) -> Iterator[None]:
    """Compute the same bytes each time on a CPU: one number of threads, one order of sums."""
    torch = quiet_torch()
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(computer.threads)
    torch.use_deterministic_algorithms(mode=True, warn_only=computer.kind == "cuda")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(mode=strict)


def _cpu_name() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
