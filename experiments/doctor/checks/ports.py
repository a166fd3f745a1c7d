"""Ports of engines, as role node_base opens them (`node_base_engine_ports`)."""

from __future__ import annotations

ENGINE_PORTS = (range(9990, 10000), range(50052, 50062))


def is_engine_port(port: int) -> bool:
    """Whether engines of other nodes talk to it."""
    return any(port in ports for ports in ENGINE_PORTS)
