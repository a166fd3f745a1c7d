"""What nodes of the scripted herd say about their GPUs, and an engine that computes on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from collect.attempt import Role
from collect.parsers import distributed_llama as parser
from experiments.engines import ON_NODES
from experiments.engines.base import Cell, Deployment, Process
from experiments.engines.common import gpu_of
from experiments.fleet.cluster import Cluster

LLVMPIPE = "llvmpipe (LLVM 15.0.6, 256 bits)"
RTX = "NVIDIA GeForce RTX 3060"
ENGINE = ON_NODES["distributed-llama"]


def told(**changed: Any) -> bytes:  # noqa: ANN401 - anything that JSON has
    """What `herd-gpu` prints about a GPU that works, or with something else in it."""
    return json.dumps(
        {"backend": "vulkan", "devices": [device()], "proof": True, "reason": None, **changed}
    ).encode()


def device(**changed: Any) -> dict[str, Any]:  # noqa: ANN401 - likewise
    usual = {"index": 0, "name": RTX, "kind": "discrete", "driver": "580.1"}
    return {**usual, "memory_mib": 12288, "free_mib": 11000, **changed}


SOFTWARE = told(devices=[device(name=LLVMPIPE, kind="software", driver="Mesa 22.3.6")])
BROKEN = told(devices=[], proof=False, reason="libvulkan.so.1 is not installed.")

Named = Callable[[Role], str | None]


def computes_on_gpus(monkeypatch: pytest.MonkeyPatch, named: Named = lambda role: RTX) -> None:
    """Let the scripted engine use GPUs, and its logs name this one.

    The logs of a process that sees no GPU name it, too, so that only processes on GPUs are asked.
    """
    deploy = type(ENGINE).deploy

    def on_gpus(self: object, cell: Cell, cluster: Cluster) -> Deployment:
        made = deploy(ENGINE, cell, cluster)

        def shown(process: Process) -> Process:
            gpu = gpu_of(cell, process.node)
            return replace(process, gpu=gpu and gpu.backend)

        return replace(made, root=shown(made.root), workers=tuple(map(shown, made.workers)))

    monkeypatch.setattr(type(ENGINE), "devices", ("cpu", "gpu"))
    monkeypatch.setattr(type(ENGINE), "deploy", on_gpus)
    monkeypatch.setattr(
        type(parser.PARSER), "computed_on", lambda self, role, out, err: named(role)
    )
