"""Bytes that distributed-llama moves for a token, in theory, and how full they make a link.

Closed form of v0.11 and later (full mesh, two gathers of full-width partial sums a layer,
logits gathered as 32-bit floats), derived from upstream's `src/nn/nn-network.cpp` and
`src/llm.cpp` and equal to what v0.16.4 prints for 2, 4 and 8 nodes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

KIB = 1024
FLOAT_BYTES = 4
CONTROL_BYTES = 8
Q80_BYTES, Q80_VALUES = 34, 32
FIRST_VERSION = (0, 11)


@dataclass(frozen=True, slots=True)
class RootTraffic:
    """What the root sends and receives for one decoded token, in KiB."""

    sent_kib: float
    received_kib: float


def exchanged_bytes(values: int, weights: str) -> float:
    """Bytes of that many activations on the wire: Q80 blocks for quantised weights, else floats.

    (Upstream runs Q40 weights only with `--buffer-float-type q80`.)
    """
    if weights == "f32":
        return FLOAT_BYTES * values
    return values / Q80_VALUES * Q80_BYTES


def root_traffic(
    nodes: int, width: int, layers: int, vocabulary: int, *, weights: str
) -> RootTraffic:
    """Traffic of the root for one decoded token.

    Args:
        nodes: how many, root included.
        width: values of an activation (`dim`).
        layers: number of layers.
        vocabulary: number of tokens that the tokeniser knows.
        weights: type of the weights, which decides the type of exchanged activations.
    """
    partners = nodes - 1
    gathers = 2 * layers * exchanged_bytes(width, weights)
    sent = partners * (FLOAT_BYTES * width + gathers + CONTROL_BYTES)
    received = partners * (gathers + FLOAT_BYTES * vocabulary / nodes)
    return RootTraffic(sent / KIB, received / KIB)


def formula_holds(version: str | None) -> bool:
    """Whether that version of distributed-llama moves what `root_traffic` says.

    A commit, or nothing known, counts as current.
    """
    found = re.search(r"v?(\d+)\.(\d+)", version or "")
    return found is None or (int(found[1]), int(found[2])) >= FIRST_VERSION


def mbit_per_s(kib: float, milliseconds: float) -> float:
    """Mean rate in Mbit/s (10^6 bits) of that many KiB in that time."""
    return kib * KIB * 8 / 1000 / milliseconds
