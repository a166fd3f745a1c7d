"""A library with the functions of NVML that the helper calls, and their signatures."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml.c")


def nvml_library(folder: Path, **settings: object) -> str:
    """Compile the library.

    Args:
        folder: where it is put.
        settings: macros of `nvml.c`, which say what the library answers.
    """
    library = folder / f"libnvidia-ml-{len(list(folder.glob('libnvidia-ml-*')))}.so"
    macros = [f"-D{name}={value}" for name, value in settings.items()]
    subprocess.run(["cc", "-shared", "-fPIC", *macros, "-o", library, SOURCE], check=True)
    return str(library)
