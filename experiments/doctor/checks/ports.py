"""Ports of engines, as role node_base opens them by default (`node_base_engine_ports`)."""

from __future__ import annotations

from experiments.engines import ON_NODES


def _range(ports: str) -> range:
    """`9990-9999`, or one port alone."""
    first, _, last = ports.partition("-")
    return range(int(first), int(last or first) + 1)


ENGINE_PORTS: tuple[range, ...] = tuple(
    map(_range, dict.fromkeys(ports for engine in ON_NODES.values() for ports in engine.ports))
)
"""Each range once, though two engines name it."""


def is_engine_port(port: int) -> bool:
    """Whether engines of other nodes talk to it."""
    return any(port in ports for ports in ENGINE_PORTS)
