"""What provisioning left: whether the helper is there, and which engines were built for a GPU."""

from __future__ import annotations

import json
from typing import Any

from experiments.doctor.probe.place import Place

HELPER = "/usr/local/libexec/llama-herd/herd-node"
STAMPS = "/opt/llama-herd/engines/*/install.json"
BACKENDS = ("vulkan", "cuda")


def provisioned(place: Place) -> dict[str, Any]:
    """The helper, and engine name to the interface by which it computes on a GPU."""
    return {"helper": place.exists(HELPER), "gpu_engines": dict(gpu_engines(place))}


def gpu_engines(place: Place) -> list[tuple[str, str]]:
    """Engines whose record names an interface for a GPU; a record that is damaged names none."""
    found = []
    for path in place.found(STAMPS):
        try:
            stamp = json.loads(place.text(path))
        except (ValueError, RecursionError):
            continue
        if isinstance(stamp, dict) and stamp.get("installed") and stamp.get("gpu") in BACKENDS:
            found.append((path.split("/")[-2], stamp["gpu"]))
    return found
