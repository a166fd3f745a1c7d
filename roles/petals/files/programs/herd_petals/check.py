"""Proves that the environment works where it runs: `petals 2.2.0.post1, torch 2.13.0+cpu, cpu`.

    petals-check [--device cuda]

Imports all that a server and a client need and has the device multiply, starts nothing.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
from pathlib import Path
from typing import Any

from herd_petals import compat
from herd_petals.ending import end, fail

SIDE = 256
DEVICES = ("nvidia*", "dxg")


def main() -> None:
    """Say what is there, or why it cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    device = parser.parse_args().device
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(HF_HOME=folder, PETALS_CACHE=folder)
        compat.prepare()
        torch = importlib.import_module("torch")
        petals = importlib.import_module("petals")
        importlib.import_module("petals.server.server")
        name = multiplied(torch, device)
    print(f"petals {petals.__version__}, torch {torch.__version__}, {name}", flush=True)
    end(0)


def multiplied(torch: Any, device: str) -> str:  # noqa: ANN401 - torch has no types here
    """Have the device multiply two matrices of ones; the device's name."""
    try:
        ones = torch.ones((SIDE, SIDE), device=device)
        total = float((ones @ ones).sum())
    except (RuntimeError, AssertionError) as error:
        fail(f"no GPU can be used here ({' '.join(str(error).split())[:300]}): {shown()}")
    if total != SIDE**3:
        fail(f"the device {device} multiplies wrongly: {total} in place of {SIDE**3}")
    return str(torch.cuda.get_device_name()) if device == "cuda" else device


def shown() -> str:
    """What this program sees of a GPU's devices, in words."""
    found = sorted(str(path) for pattern in DEVICES for path in Path("/dev").glob(pattern))
    if found:
        return f"there are {', '.join(found)}"
    return (
        "there is neither /dev/nvidia0 nor /dev/dxg. Look at what nvidia-smi says, then provision "
        "the whole node, without --tags: its helper decides what an engine is shown"
    )


if __name__ == "__main__":
    main()
