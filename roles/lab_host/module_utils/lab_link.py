"""The shaped link of a node: the same rate out of the node and into it.

A token bucket (tbf) on the node's end of its veth pair limits what it sends, one on this machine's
end what it receives. The bucket holds two milliseconds of the rate: less costs throughput, because
the kernel hands over packets in batches.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.lab_podman import LabError, run

DEVICE = "eth0"
BUCKET_MS = 2
SMALLEST_BUCKET_BYTES = 16_384
LATENCY_MS = 50


@dataclass(frozen=True)
class Shape:
    """A rate and the bucket that goes with it."""

    mbit: int

    @property
    def rate_bytes(self) -> int:
        """Bytes per second, as tc reports a rate."""
        return self.mbit * 1_000_000 // 8

    @property
    def burst_bytes(self) -> int:
        """Size of the bucket."""
        return max(SMALLEST_BUCKET_BYTES, self.rate_bytes * BUCKET_MS // 1000)

    def argv(self, device: str) -> list[str]:
        """The command that shapes a device."""
        return [
            "tc",
            "qdisc",
            "replace",
            "dev",
            device,
            "root",
            "tbf",
            "rate",
            f"{self.mbit}mbit",
            "burst",
            str(self.burst_bytes),
            "latency",
            f"{LATENCY_MS}ms",
        ]


def _inside(pid: int) -> list[str]:
    return ["nsenter", "--target", str(pid), "--net"]


def _is_shaped(prefix: list[str], device: str, shape: Shape) -> bool:
    said = run(*prefix, "tc", "-json", "qdisc", "show", "dev", device, doing="reading a link")
    disciplines: list[dict[str, Any]] = json.loads(said or "[]")
    return any(
        one["kind"] == "tbf"
        and one.get("root")
        and one.get("options", {}).get("rate") == shape.rate_bytes
        for one in disciplines
    )


def host_devices() -> dict[int, str]:
    """This machine's network devices by their index."""
    said = json.loads(run("ip", "-json", "link", "show", doing="listing network devices"))
    return {item["ifindex"]: item["ifname"] for item in said}


def host_end(name: str, pid: int, devices: dict[int, str]) -> str:
    """This machine's end of a node's veth pair.

    Raises:
        LabError: the node has no link, it is down, or this machine's end of it is gone.
    """
    said = json.loads(
        run(
            *_inside(pid),
            "ip",
            "-json",
            "link",
            "show",
            "dev",
            DEVICE,
            doing=f"looking for the link of node {name}",
        )
    )
    index = said[0].get("link_index")
    if index not in devices or said[0].get("operstate") != "UP":
        raise LabError(f"node {name} has lost its link to this machine")
    return devices[index]


def shape_link(name: str, pid: int, shape: Shape, devices: dict[int, str]) -> bool:
    """Shape a node's link both ways; True if that changed anything."""
    ends = [(_inside(pid), DEVICE), ([], host_end(name, pid, devices))]
    unshaped = [end for end in ends if not _is_shaped(*end, shape)]
    for prefix, device in unshaped:
        run(*prefix, *shape.argv(device), doing=f"shaping the link of node {name}")
    return bool(unshaped)
