"""The nodes of a session: one owned link each, and which of them are lost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from collect.errors import HerdError
from experiments.cluster import Node
from experiments.owner import Owner, refusal
from experiments.protocol import Link, NodeLostError, Reply, Request, Transport, expect

GOODBYE_S = 15.0
"""How long a node may take to stop what it runs."""


class Herd:
    """Links to the nodes that this process owns.

    Args:
        transport: makes links.
        nodes: the nodes of the session, root first.
        owner: who we are, for those who find a node taken.
    """

    def __init__(self, transport: Transport, nodes: tuple[Node, ...], owner: Owner) -> None:
        self._transport = transport
        self._owner = owner
        self._nodes = {node.name: node for node in nodes}
        self._links: dict[str, Link] = {}

    def own_all(self) -> None:
        """Take possession of every node and clean it.

        Raises:
            HerdError: another runner owns a node, or one does not answer.
        """
        try:
            with ThreadPoolExecutor(max_workers=max(1, len(self._nodes))) as pool:
                list(pool.map(self._own, self._nodes.values()))
        except HerdError:
            self.close()
            raise

    def _own(self, node: Node) -> None:
        link = self._transport.open(node)
        try:
            self._take(link)
        except HerdError:
            link.close(GOODBYE_S)
            raise
        self._links[node.name] = link

    def _take(self, link: Link) -> None:
        fields = (("who", self._owner.line()), ("address", link.node.engine_address))
        link.send(Request("own", fields))
        reply = expect(link, "take possession", 30.0)
        if not reply.ok and self._owner.outlived(reply.text("owner")):
            link.send(Request("own", (*fields, ("force", "yes"))))
            reply = expect(link, "take possession", 40.0)
        if not reply.ok:
            raise refusal(link.node.name, reply)

    def lost(self) -> tuple[str, ...]:
        """Names of the nodes that are not answering, in the inventory's order."""
        return tuple(name for name in self._nodes if name not in self._links)

    def link(self, node: str) -> Link:
        """The link to a node.

        Raises:
            NodeLostError: it was lost before.
        """
        try:
            return self._links[node]
        except KeyError:
            raise NodeLostError(node, f"{node} does not answer") from None

    def lose(self, node: str) -> None:
        """Give up the link to a node that does not answer."""
        link = self._links.pop(node, None)
        if link is None:
            return
        link.close(0.0)
        self._transport.drop(link.node)

    def regain(self, names: Iterable[str]) -> dict[str, str]:
        """Try to own lost nodes again.

        Returns:
            Name to reason of those that are still lost.
        """
        reasons: dict[str, str] = {}
        for name in names:
            if name in self._links:
                continue
            try:
                self._own(self._nodes[name])
            except HerdError as error:
                self._transport.drop(self._nodes[name])
                reasons[name] = str(error)
        return reasons

    def ask_each(
        self, requests: Mapping[str, Request], doing: str, timeout_s: float
    ) -> tuple[dict[str, Reply], dict[str, str]]:
        """Ask several nodes at once; a node that does not answer is given up.

        Args:
            requests: node name to request.
            doing: what it is for, for messages.
            timeout_s: for all together.

        Returns:
            Replies by node (also refusals), and by node why there is none.
        """
        silent = {name: self._send(name, request) for name, request in requests.items()}
        until = time.monotonic() + timeout_s
        replies: dict[str, Reply] = {}
        for name in requests:
            if silent[name] is None:
                try:
                    left_s = max(0.05, until - time.monotonic())
                    replies[name] = expect(self.link(name), doing, left_s)
                except NodeLostError as error:
                    silent[name] = str(error)
        reasons = {name: reason for name, reason in silent.items() if reason is not None}
        for name in reasons:
            self.lose(name)
        return replies, reasons

    def _send(self, name: str, request: Request) -> str | None:
        """Send to a node; why that failed, if it did."""
        try:
            self.link(name).send(request)
        except NodeLostError as error:
            return str(error)
        return None

    def close(self) -> None:
        """Let go of all nodes; returns when they have stopped what they ran."""
        links, self._links = list(self._links.values()), {}
        if links:
            with ThreadPoolExecutor(max_workers=len(links)) as pool:
                list(pool.map(lambda link: link.close(GOODBYE_S), links))
        self._transport.close()
