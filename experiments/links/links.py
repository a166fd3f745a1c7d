"""The links of a session's nodes, as the runner wants them: set, read back, and put back."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

from collect.attempt import LinkRecord
from core.errors import HerdError
from core.paths import PROJECT_FOLDER
from experiments.engines.base import Axis, Cell
from experiments.engines.common import taking_part
from experiments.fleet.cluster import Cluster, Node
from experiments.links.keeper import MARKS, KeeperError
from experiments.links.shape import Shape

RATE = Axis("link_mbit", int, default=0)
DELAY = Axis("link_delay_ms", int, default=0)
LINK_AXES = (RATE, DELAY)
MOST = {RATE.name: (100_000, "Mbit/s"), DELAY.name: (1000, "ms")}
"""The largest value of each axis, and its unit."""
ANSWER_S = 60.0
NEEDS_ROOT = (
    "only root can set links on this machine, and sudo asks for a password here: run `sudo -v` "
    "first, or run as root"
)
NO_DELAY = (
    "this kernel cannot delay packets: it has neither netem nor packet queues for iptables "
    "(CONFIG_NET_SCH_NETEM, CONFIG_NETFILTER_XT_TARGET_NFQUEUE)"
)


def wanted(cell: Cell) -> Shape:
    """The link that a cell asks for; a rate of 0 is the lab's own."""
    return Shape(int(cell.params.get(RATE.name, 0)), int(cell.params.get(DELAY.name, 0)))


def unavailable(cell: Cell, cluster: Cluster) -> str | None:
    """Why the nodes' links cannot be what a cell asks for, one sentence; None if they can."""
    shape = wanted(cell)
    nodes = taking_part(cell, cluster)
    if shape == Shape(0):
        return None
    for node in nodes:
        if node.lab_link_mbit is None:
            return (
                f"{node.name} is not a node of the lab, and links can be set only for virtual "
                f"nodes: leave out {RATE.name} and {DELAY.name}"
            )
    if not _may_be_root():
        return NEEDS_ROOT
    return NO_DELAY if shape.delay_ms and not _can_delay() else None


class Links:
    """The links of the lab's nodes in a session; nodes elsewhere are left alone.

    Args:
        nodes: all nodes of the session, in the cluster's order.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._cluster = Cluster(tuple(nodes))
        self._nodes = {
            node.name: node for node in self._cluster.nodes if node.lab_link_mbit is not None
        }
        self._keeper: subprocess.Popen[str] | None = None

    def clear(self, names: Collection[str] | None = None) -> None:
        """Put links right that a runner left which was killed together with what shaped for it.

        Args:
            names: of nodes that are there; all by default.

        Raises:
            HerdError: that needs root.
        """
        left = [
            node
            for name, node in self._nodes.items()
            if (names is None or name in names) and _is_marked(name)
        ]
        if not left:
            return
        if not _may_be_root():
            names = ", ".join(node.name for node in left)
            raise HerdError(f"An earlier run left the links of {names} changed; {NEEDS_ROOT}.")
        try:
            self._ask(left, Shape(0), change=True)
        except KeeperError as error:
            raise HerdError(f"Restoring links that an earlier run left changed: {error}.") from None
        finally:
            self.close()

    def have(self, cell: Cell) -> LinkRecord | None:
        """Make the links of a cell's nodes what it asks for, and read them back.

        Returns:
            What they are; None for a cell that asks for no link.

        Raises:
            KeeperError: a link cannot be made so.
        """
        nodes = self._taking_part(cell)
        if not nodes:
            return None
        shape = wanted(cell)
        told = self._ask(nodes, shape, change=True, ping=len(nodes) > 1)
        trip_ms = told["round_trip_ms"]
        if trip_ms is not None and trip_ms < shape.delay_ms:
            raise KeeperError(
                nodes[0].name,
                f"a round trip from {nodes[0].name} took {trip_ms} ms, with {shape.delay_ms} added",
            )
        return LinkRecord(
            mbit=shape.mbit or min(node.lab_link_mbit or 0 for node in nodes),
            delay_ms=shape.delay_ms,
            method=told["method"],
            round_trip_ms=trip_ms,
        )

    def problem(self, cell: Cell) -> str | None:
        """What became of the links of a cell's nodes meanwhile; None if they are as asked for."""
        nodes = self._taking_part(cell)
        try:
            if nodes:
                self._ask(nodes, wanted(cell), change=False)
        except KeeperError as error:
            return str(error)
        return None

    def close(self) -> None:
        """Give all nodes the lab's own link."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.communicate(timeout=ANSWER_S)

    def _taking_part(self, cell: Cell) -> list[Node]:
        """The nodes of a cell, if it names a link at all."""
        if not any(axis.name in cell.params for axis in LINK_AXES):
            return []
        return [node for node in taking_part(cell, self._cluster) if node.name in self._nodes]

    def _ask(
        self, nodes: list[Node], shape: Shape, *, change: bool, ping: bool = False
    ) -> Mapping[str, Any]:
        request = {
            "nodes": {node.name: node.lab_link_mbit for node in nodes},
            "shape": {"mbit": shape.mbit, "delay_ms": shape.delay_ms},
            "change": change,
            "ping": nodes[-1].engine_address if ping else "",
        }
        if self._keeper is None:
            self._keeper = _start_keeper()
        assert self._keeper.stdin is not None and self._keeper.stdout is not None  # noqa: S101, PT018
        try:
            self._keeper.stdin.write(json.dumps(request) + "\n")
            self._keeper.stdin.flush()
            ready, _, _ = select.select([self._keeper.stdout], [], [], ANSWER_S)
            line = self._keeper.stdout.readline() if ready else ""
        except BrokenPipeError:
            line = ""
        if not line:
            self._keeper.kill()
            self._keeper.wait()
            self._keeper = None
            raise KeeperError(nodes[0].name, "the process that shapes the lab's links ended")
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise KeeperError(told["node"], told["error"])
        return told


def _is_marked(node: str) -> bool:
    try:
        return (MARKS / node).stat().st_size > 0
    except OSError:
        return False


def _as_root(verb: str) -> list[str]:
    sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    return [*sudo, sys.executable, "-B", "-m", "experiments.links.keeper", verb]


def _start_keeper() -> subprocess.Popen[str]:
    """In a separate session: Ctrl-C is for the runner."""
    return subprocess.Popen(
        _as_root("serve"),
        cwd=PROJECT_FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _may_be_root() -> bool:
    if os.geteuid() == 0:
        return True
    try:
        asked = subprocess.run(
            ["sudo", "--non-interactive", "true"], capture_output=True, check=False
        )
    except FileNotFoundError:
        return False
    return asked.returncode == 0


@cache
def _can_delay() -> bool:
    done = subprocess.run(
        _as_root("method"), cwd=PROJECT_FOLDER, capture_output=True, text=True, check=False
    )
    return bool(done.stdout.strip())
