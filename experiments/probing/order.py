"""What is measured at the same time, and which links are measured at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from experiments.fleet.cluster import Node

MOST_AT_ONCE = 20
MOST_FOR_ALL_PAIRS = 8
"""Up to so many nodes each pair is measured: 28 pairs take half a minute."""


@dataclass(frozen=True, slots=True)
class Linked:
    """Two nodes whose link is measured once, in both directions.

    Attributes:
        asks: the node that connects.
        listens: the node that is connected to.
    """

    asks: Node
    listens: Node


def links_to_measure(nodes: Sequence[Node]) -> tuple[Literal["all", "star and ring"], list[Linked]]:
    """The links to measure, and how they were chosen.

    Of up to `MOST_FOR_ALL_PAIRS` nodes it is every pair. Of more it is the root with each node,
    which engines use most, and each node with the next one, which shows a slow link anywhere.
    """
    if len(nodes) <= MOST_FOR_ALL_PAIRS:
        every = [Linked(one, other) for i, one in enumerate(nodes) for other in nodes[i + 1 :]]
        return "all", every
    star = [Linked(nodes[0], other) for other in nodes[1:]]
    ring = [Linked(one, other) for one, other in pairwise(nodes[1:])]
    return "star and ring", star + ring


def by_asking(pairs: Sequence[Linked]) -> Iterator[tuple[Node, list[Node]]]:
    """Each node that connects, and those that it connects to, one after the other.

    A node has several turns if these are many: what a node that dies has measured is lost.
    """
    asking = {pair.asks.name: pair.asks for pair in pairs}
    for name, node in asking.items():
        listens = [pair.listens for pair in pairs if pair.asks.name == name]
        for begin in range(0, len(listens), MOST_AT_ONCE):
            yield node, listens[begin : begin + MOST_AT_ONCE]


def machine_of(node: Node) -> object:
    """What nodes of one machine share: its kernel, or else nothing."""
    return node.facts.get("boot_id") or node.name


def rounds(nodes: Sequence[Node]) -> list[list[Node]]:
    """Nodes that are measured at the same time: no two on one machine.

    Virtual nodes share memory and processor; measured at once, each would get a part.
    """
    left = list(nodes)
    found: list[list[Node]] = []
    while left:
        turn = {machine_of(node): node for node in reversed(left)}
        found.append([node for node in left if turn[machine_of(node)] is node])
        left = [node for node in left if turn[machine_of(node)] is not node]
    return found
