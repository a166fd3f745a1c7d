"""What nodes exchange for a token, in closed form, for each way in which engines do it.

The ways are never mixed: a release of an engine has one (`wires.yml`). The stars and the mesh
give every published cell and every recorded log within 1 kB (`tests/unit/test_model_wire.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from analysis.text.sentence import say
from core.record import Scalar
from core.yaml_file import load_yaml_file
from models.limits import dllama_impossible
from models.shape import ModelShape, Weights

WIRES_FILE = Path(__file__).with_name("wires.yml")
KIB = 1024
FLOAT_BYTES = 4
HALF_BYTES = 2
CONTROL_BYTES = 8
"""What the root of a mesh sends every worker before a token."""
Q80_BYTES, Q80_VALUES = 34, 32

Wire: TypeAlias = Literal["star10", "star6", "star4", "mesh2", "chain_client", "chain_push"]
Exchanged: TypeAlias = Literal["f32", "q80"]
"""Type of the values that nodes send each other."""


@dataclass(frozen=True, slots=True)
class RootTraffic:
    """What the root exchanges for one decoded token.

    Attributes:
        sent_bytes: by the root.
        received_bytes: by the root.
        line_bytes: what passes the busiest link one after the other: both directions where a step
            uses only one of them, the larger where a step uses both at once.
        steps: messages that a node waits for, one after the other.
        remote_steps: those of them that pass a link.
    """

    sent_bytes: float
    received_bytes: float
    line_bytes: float
    steps: int
    remote_steps: int

    @property
    def sent_kib(self) -> float:
        """Sent by the root, in KiB."""
        return self.sent_bytes / KIB

    @property
    def received_kib(self) -> float:
        """Received by the root, in KiB."""
        return self.received_bytes / KIB


NOTHING = RootTraffic(0, 0, 0, 0, 0)


def exchanged_bytes(values: float, exchanged: Exchanged) -> float:
    """Bytes of that many values on the wire."""
    return values * (FLOAT_BYTES if exchanged == "f32" else Q80_BYTES / Q80_VALUES)


def exchanged_with(weights: str) -> Exchanged:
    """The type of exchanged values that belongs to a type of weights: floats only with floats."""
    return "f32" if weights == "f32" else "q80"


def traffic(wire: Wire, shape: ModelShape, nodes: int, exchanged: Exchanged) -> RootTraffic:
    """RootTraffic of the root for one decoded token.

    Args:
        wire: how nodes exchange.
        shape: of the model.
        nodes: how many, root included.
        exchanged: type of the exchanged values; chains have their own.
    """
    return _FORMULAS[wire](shape, nodes, exchanged)


def _star(
    steps: int, sent: Callable[..., float], received: Callable[..., float]
) -> Callable[[ModelShape, int, Exchanged], RootTraffic]:
    """Make the formula of a star from bytes of a layer, by the widths q(d), q(kv), q(h) and n."""

    def formula(shape: ModelShape, nodes: int, exchanged: Exchanged) -> RootTraffic:
        if nodes == 1:
            return NOTHING
        widths = (shape.dim, shape.kv_dim, shape.hidden_dim)
        d, kv, h = (exchanged_bytes(width, exchanged) for width in widths)
        out, back = (shape.layers * part(d, kv, h, nodes) for part in (sent, received))
        count = steps * shape.layers
        return RootTraffic(out, back, out + back, count, count)

    return formula


def _mesh(shape: ModelShape, nodes: int, exchanged: Exchanged) -> RootTraffic:
    if nodes == 1:
        return NOTHING
    others = nodes - 1
    sums = 2 * shape.layers * exchanged_bytes(shape.dim, exchanged)
    sent = others * (sums + FLOAT_BYTES * shape.dim + CONTROL_BYTES)
    received = others * (sums + FLOAT_BYTES * shape.vocab / nodes)
    steps = 2 * shape.layers + 2
    return RootTraffic(sent, received, max(sent, received), steps, steps)


def _chain_client(shape: ModelShape, nodes: int, _exchanged: Exchanged) -> RootTraffic:
    """The first stage is on the client's own machine; alone, there is no stage."""
    if nodes == 1:
        return NOTHING
    activation = FLOAT_BYTES * shape.dim
    sent = (nodes - 1) * activation
    received = (nodes - 2) * activation + FLOAT_BYTES * shape.vocab
    return RootTraffic(sent, received, sent + received, 2 * nodes, 2 * (nodes - 1))


def _chain_push(shape: ModelShape, nodes: int, _exchanged: Exchanged) -> RootTraffic:
    """The first server is on the client's own machine; the last one's answer comes over a link."""
    activation = HALF_BYTES * shape.dim
    passed = nodes if nodes > 1 else 0
    at_root = activation if nodes > 1 else 0
    return RootTraffic(at_root, at_root, passed * activation, nodes + 1, passed)


_FORMULAS: Mapping[Wire, Callable[[ModelShape, int, Exchanged], RootTraffic]] = MappingProxyType(
    {
        "star10": _star(
            10,
            lambda d, _kv, h, n: 3 * (n - 1) * d + (n - 1) ** 2 / n * h,
            lambda d, kv, h, n: (n - 1) / n * (3 * d + 2 * kv + h),
        ),
        "star6": _star(
            6,
            lambda d, _kv, h, n: 2 * (n - 1) * d + (n - 1) ** 2 / n * h,
            lambda d, _kv, h, n: (n - 1) * (d + (d + h) / n),
        ),
        "star4": _star(
            4,
            lambda d, _kv, _h, n: 2 * (n - 1) * d,
            lambda d, _kv, _h, n: 2 * (n - 1) * d,
        ),
        "mesh2": _mesh,
        "chain_client": _chain_client,
        "chain_push": _chain_push,
    }
)


def is_chain(wire: Wire) -> bool:
    """Whether nodes compute whole layers one after the other, and not each layer together."""
    return wire.startswith("chain")


def computes_elsewhere(wire: Wire) -> bool:
    """Whether several nodes compute in another program than one node does: in RPC workers."""
    return wire == "chain_client"


def root_has_classifier(wire: Wire) -> bool:
    """Whether the root alone computes the logits."""
    return wire.startswith("star")


def limit(wire: Wire, shape: ModelShape, weights: Weights, nodes: int) -> str | None:
    """Why so many nodes cannot share a model in this way; None if they can."""
    if not is_chain(wire):
        return dllama_impossible(shape, weights, nodes)
    if nodes > shape.layers:
        return say(
            "the model has {layers} layers, and each of {nodes} nodes needs one",
            layers=shape.layers,
            nodes=nodes,
        )
    return None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Since(_Strict):
    since: Annotated[str, Field(pattern=r"^\d+(\.\d+)*$")]
    wire: Wire
    when: dict[str, Scalar] = Field(default_factory=dict)


class _Wires(_Strict):
    engines: dict[str, tuple[_Since, ...]]


@cache
def _known() -> _Wires:
    return load_yaml_file(WIRES_FILE, _Wires, "the table of wires")


def wire_of(engine: str, version: str | None, axes: Mapping[str, Scalar]) -> Wire | None:
    """The way in which nodes exchange in a cell; None where no formula is known.

    Args:
        engine: its name.
        version: as its installation or a published table records it; a commit, or None, counts as
            the newest release.
        axes: values of the cell's axes.
    """
    release = _release(version)
    fitting = [
        line
        for line in _known().engines.get(engine, ())
        if (release is None or _numbers(line.since) <= release)
        and all(axes.get(axis, value) == value for axis, value in line.when.items())
    ]
    return max(fitting, key=lambda line: _numbers(line.since)).wire if fitting else None


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))


def _release(version: str | None) -> tuple[int, ...] | None:
    found = re.match(r"v?(\d{1,4}(?:\.\d{1,4})+)(?![\w])", version or "")
    return _numbers(found[1]) if found else None
