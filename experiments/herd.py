"""The nodes of a session: one owned link each, and which of them are lost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, Semaphore, Thread

from collect.errors import HerdError
from experiments.cluster import Node
from experiments.owner import Owner, refusal
from experiments.protocol import Link, NodeLostError, Reply, Request, Transport, expect
from experiments.together import AT_ONCE, together

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
        self._seeking: dict[str, Thread] = {}
        self._reasons: dict[str, str] = {}
        self._turns = Semaphore(AT_ONCE)
        self._lock = Lock()
        self._closed = False

    def own_all(self) -> None:
        """Take possession of every node and clean it.

        Raises:
            HerdError: another runner owns a node, or one does not answer.
        """
        try:
            together(self._own, self._nodes.values())
        except HerdError:
            self.close()
            raise

    def _own(self, node: Node) -> None:
        link = self._transport.open(node)
        try:
            self._take(link)
        except HerdError as error:
            link.close(0.0 if isinstance(error, NodeLostError) else GOODBYE_S)
            raise
        with self._lock:
            if not self._closed:
                self._links[node.name] = link
                return
        link.close(0.0)

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

    def seek(self) -> None:
        """Begin to try lost nodes again, beside whatever else goes on."""
        for name in self.lost():
            if name not in self._seeking:
                seeking = Thread(target=self._try, args=(name,), name=f"seek {name}", daemon=True)
                self._seeking[name] = seeking
                seeking.start()

    def regain(self) -> dict[str, str]:
        """Try lost nodes again, all at once, and wait for what comes of it.

        Returns:
            Name to reason of those that are still lost.
        """
        self.seek()
        for seeking in list(self._seeking.values()):
            seeking.join()
        return {name: self._reasons.get(name, f"{name} does not answer") for name in self.lost()}

    def _try(self, name: str) -> None:
        node = self._nodes[name]
        try:
            with self._turns:
                self._own(node)
        except HerdError as error:
            self._transport.drop(node)
            self._reasons[name] = str(error)
        finally:
            del self._seeking[name]

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
        with self._lock:  # a node that is found from now on is let go at once
            self._closed = True
            links, self._links = list(self._links.values()), {}
        if links:
            with ThreadPoolExecutor(max_workers=len(links)) as pool:
                list(pool.map(lambda link: link.close(GOODBYE_S), links))
        self._transport.close()
