"""Which nodes of the inventory a command is for: `--limit pi3,desk`."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import HerdError
from experiments.fleet.cluster import Node


def chosen(nodes: Sequence[Node], names: str | None) -> list[Node]:
    """All nodes, or those named, separated by commas, in the order in which they are named.

    Raises:
        HerdError: the inventory has no such node.
    """
    if names is None:
        return list(nodes)
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    known = {node.name: node for node in nodes}
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise HerdError(
            f"--limit {names}: group cluster has no {', '.join(unknown) or 'such node'}; it has "
            f"{', '.join(known)}."
        )
    return [known[name] for name in wanted]
