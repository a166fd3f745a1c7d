"""On which device a server holds its blocks, said by the server: upstream does not say it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

HOLDS = "Holding blocks on"


def tell_device() -> None:
    """Make a server say on which device its blocks are; call this before creating it.

    A line for each device, when the first block has come to it: a GPU by its name, else `cpu`.
    """
    upstream: Any = importlib.import_module("petals.server.server")
    convert: Callable[..., Any] = upstream.convert_block
    said: set[str] = set()

    def telling(*given: object, **named: object) -> object:
        block = convert(*given, **named)
        for name in sorted({name_of(part.device) for part in block.parameters()} - said):
            print(f"{HOLDS} {name}", flush=True)
            said.add(name)
        return block

    upstream.convert_block = telling


def name_of(device: Any) -> str:  # noqa: ANN401 - torch has no types here
    """The name of a GPU, as its driver says it; else the kind of the device."""
    if device.type != "cuda":
        return str(device.type)
    return str(importlib.import_module("torch").cuda.get_device_name(device))
