"""What the link of a lab node is made into, the commands for it, and what they say it is.

A token bucket on each end of the node's veth pair limits the rate, as `roles/lab_host` does it when
the lab comes up. The delay is that of a round trip between two nodes: every packet waits for half
of it, on its way out of the node (netem) or into it (the queue method, see `queue.py`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

DEVICE = "eth0"
BUCKET_MS = 2
SMALLEST_BUCKET_BYTES = 16_384
LATENCY_MS = 50
HELD_PACKETS = 20_000
"""Room for packets that wait: netem's own thousand would lose some at 1 Gbit/s and 20 ms."""
QUEUE = 94
"""Number of the packet queue; nothing else in a lab node has one."""
Method = Literal["netem", "queue"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A link.

    Attributes:
        mbit: its rate each way, in Mbit/s.
        delay_ms: what it adds to a round trip between two nodes, in milliseconds.
    """

    mbit: int
    delay_ms: int = 0

    def __str__(self) -> str:
        return f"{self.mbit} Mbit/s, {self.delay_ms} ms more for a round trip"


def bucket(mbit: int, device: str, *place: str) -> list[str]:
    """The arguments of tc for a token bucket at a place of a device's tree."""
    burst_bytes = max(SMALLEST_BUCKET_BYTES, mbit * 1_000_000 // 8 * BUCKET_MS // 1000)
    rate = ["rate", f"{mbit}mbit", "burst", str(burst_bytes), "latency", f"{LATENCY_MS}ms"]
    return ["qdisc", "replace", "dev", device, *place, "tbf", *rate]


def node_end(shape: Shape, method: Method | None) -> list[list[str]]:
    """Return the arguments of tc inside the node."""
    if method != "netem" or not shape.delay_ms:
        return [bucket(shape.mbit, DEVICE, "root")]
    delay = ["delay", f"{shape.delay_ms / 2:g}ms", "limit", str(HELD_PACKETS)]
    return [
        ["qdisc", "replace", "dev", DEVICE, "root", "handle", "1:", "netem", *delay],
        bucket(shape.mbit, DEVICE, "parent", "1:1", "handle", "10:"),
    ]


def queue_rule(action: Literal["-A", "-D", "-C"]) -> list[str]:
    """The iptables command for the rule that sends what arrives into the queue.

    Without a process at the queue, packets pass at once. Those that arrive wait, not those that
    leave: what a sender's own stack still holds counts against its TCP connection.
    """
    rule = ["PREROUTING", "-i", DEVICE, "-j", "NFQUEUE", "--queue-num", str(QUEUE)]
    return ["iptables", "--wait", "-t", "mangle", action, *rule, "--queue-bypass"]


def told_shape(qdiscs: str) -> Shape | None:
    """Return the link of a device from `tc -json qdisc show`; None if its rate is not limited."""
    mbit, delay_ms = None, 0
    disciplines: list[dict[str, Any]] = json.loads(qdiscs or "[]")
    for one in disciplines:
        options = one.get("options", {})
        if one["kind"] == "tbf":
            mbit = int(options["rate"]) * 8 // 1_000_000
        elif one["kind"] == "netem":
            delay_ms = round(float(options["delay"]["delay"]) * 2000)
    return None if mbit is None else Shape(mbit, delay_ms)


_FASTEST = re.compile(r" min/avg/max[^=]{0,40}= ([0-9]{1,9}(\.[0-9]{1,9})?)/")


def round_trip_ms(said: str) -> float | None:
    """Return the fastest round trip of a ping, in milliseconds; None if there was none."""
    for line in said.splitlines():
        told = _FASTEST.search(line)
        if told:
            return float(told[1])
    return None
