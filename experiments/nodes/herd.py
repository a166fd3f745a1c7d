"""The nodes of a session: one owned conversation each, and which of them are lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, Semaphore, Thread

from core.errors import HerdError
from experiments.fleet.cluster import LEFT_OUT, Node
from experiments.nodes.launcher import Conversation, Launcher, NodeLostError, Reply, Request, expect
from experiments.nodes.owner import Owner, refusal
from experiments.nodes.together import AT_ONCE, in_parallel
from experiments.nodes.told import unread

GOODBYE_S = 15.0
"""How long a node may take to stop what it runs."""


class Herd:
    """Conversations to the nodes that this process owns.

    Args:
        launcher: makes conversations.
        nodes: the nodes of the session, root first; those that are away are lost at first.
        owner: who we are, for those who find a node taken.
        look: asks a node that came back what it is; it then takes no part until it is taken up.
            Without, a node that comes back takes part at once.
    """

    def __init__(
        self,
        launcher: Launcher,
        nodes: tuple[Node, ...],
        owner: Owner,
        look: Callable[[Node], Node] | None = None,
    ) -> None:
        self._launcher = launcher
        self._owner = owner
        self._look = look
        self._nodes = {node.name: node for node in nodes}
        self._left_out = frozenset(node.name for node in nodes if node.away == LEFT_OUT)
        self._conversations: dict[str, Conversation] = {}
        self._seeking: dict[str, Thread] = {}
        self._reasons = {node.name: node.away for node in nodes if node.away is not None}
        self._arrived: dict[str, tuple[Node, Conversation]] = {}
        self._turns = Semaphore(AT_ONCE)
        self._lock = Lock()
        self._closed = False

    def own_all(self) -> None:
        """Take possession of every node and clean it.

        Raises:
            HerdError: another runner owns a node, or one does not answer.
        """
        try:
            in_parallel(self._own, self._nodes.values())
        except HerdError:
            self.close()
            raise

    def own_those_there(self) -> None:
        """Take possession of every node that is not away, and clean it.

        One that does not answer now, or that another runner owns, is lost, with a reason in
        `reasons`.
        """
        in_parallel(self._own_or_lose, (n for n in self._nodes.values() if n.away is None))

    def _own_or_lose(self, node: Node) -> None:
        try:
            self._own(node)
        except HerdError as error:
            self._launcher.drop(node)
            self._reasons[node.name] = str(error)

    def _own(self, node: Node) -> None:
        conversation = self._owned(node)
        with self._lock:
            if not self._closed:
                self._conversations[node.name] = conversation
                return
        conversation.close(0.0)

    def _owned(self, node: Node) -> Conversation:
        conversation = self._launcher.open(node)
        try:
            self._take(conversation)
        except HerdError as error:
            conversation.close(0.0 if isinstance(error, NodeLostError) else GOODBYE_S)
            raise
        return conversation

    def _take(self, conversation: Conversation) -> None:
        fields = (("who", self._owner.line()), ("address", conversation.node.engine_address))
        conversation.send(Request("own", fields))
        reply = expect(conversation, "take possession", 30.0)
        if not reply.ok and self._owner.outlived(reply.text("owner")):
            conversation.send(Request("own", (*fields, ("force", "yes"))))
            reply = expect(conversation, "take possession", 40.0)
        if not reply.ok:
            raise refusal(conversation.node.name, reply)

    def lost(self) -> tuple[str, ...]:
        """Names of the nodes that take no part at the moment, in the inventory's order."""
        return tuple(name for name in self._nodes if name not in self._conversations)

    def reasons(self) -> dict[str, str]:
        """Name to reason of the nodes that are lost."""
        return {name: self._reasons.get(name, f"{name} does not answer") for name in self.lost()}

    def conversation(self, node: str) -> Conversation:
        """The conversation with a node.

        Raises:
            NodeLostError: it was lost before.
        """
        try:
            return self._conversations[node]
        except KeyError:
            raise NodeLostError(node, f"{node} does not answer") from None

    def lose(self, node: str) -> None:
        """Give up the conversation with a node that does not answer."""
        conversation = self._conversations.pop(node, None)
        if conversation is None:
            return
        conversation.close(0.0)
        self._launcher.drop(conversation.node)

    def seek(self) -> None:
        """Begin to try lost nodes again, in the background."""
        for name in self.lost():
            if not any(name in known for known in (self._seeking, self._left_out, self._arrived)):
                seeking = Thread(target=self._try, args=(name,), name=f"seek {name}", daemon=True)
                self._seeking[name] = seeking
                seeking.start()

    def regain(self) -> dict[str, str]:
        """Try lost nodes again, all at once, and wait for the result.

        Returns:
            Name to reason of those that are still lost.
        """
        self.seek()
        for seeking in list(self._seeking.values()):
            seeking.join()
        return self.reasons()

    def _try(self, name: str) -> None:
        node = self._nodes[name]
        try:
            with self._turns:
                self._meet(node)
        except HerdError as error:
            self._launcher.drop(node)
            self._reasons[name] = str(error)
        except Exception as error:  # noqa: BLE001 - what others say may raise anything
            self._launcher.drop(node)
            self._reasons[name] = f"{name}: {unread('what it said', error)}."
        finally:
            del self._seeking[name]

    def _meet(self, node: Node) -> None:
        """Take possession of a node that was lost, and ask what it is, if that is of interest."""
        if self._look is None:
            self._own(node)
            return
        told = self._look(node)
        conversation = self._owned(node)
        with self._lock:
            if not self._closed:
                self._arrived[node.name] = (told, conversation)
                return
        conversation.close(0.0)

    def arrived(self) -> list[Node]:
        """The nodes that came back, as they are now, in the inventory's order."""
        return [self._arrived[name][0] for name in self._nodes if name in self._arrived]

    def take_up(self, name: str) -> None:
        """Let a node that came back take part again."""
        self._nodes[name], self._conversations[name] = self._arrived.pop(name)
        self._reasons.pop(name, None)

    def turn_away(self, name: str, reason: str) -> None:
        """Let go of a node that came back and is not what it was."""
        node, conversation = self._arrived.pop(name)
        self._reasons[name] = reason
        conversation.close(0.0)
        self._launcher.drop(node)

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
                    replies[name] = self._reply(name, requests[name].verb, doing, until)
                except NodeLostError as error:
                    silent[name] = str(error)
        reasons = {name: reason for name, reason in silent.items() if reason is not None}
        for name in reasons:
            self.lose(name)
        return replies, reasons

    def _reply(self, name: str, verb: str, doing: str, until: float) -> Reply:
        """The reply to a request, past one that came too late to what was asked before."""
        while True:
            left_s = max(0.05, until - time.monotonic())
            reply = expect(self.conversation(name), doing, left_s)
            if reply.verb == verb:
                return reply

    def _send(self, name: str, request: Request) -> str | None:
        """Send to a node; why that failed, if it did."""
        try:
            self.conversation(name).send(request)
        except NodeLostError as error:
            return str(error)
        return None

    def close(self) -> None:
        """Let go of all nodes; returns when they have stopped what they ran."""
        with self._lock:  # a node that is found from now on is let go at once
            self._closed = True
            conversations = [
                *self._conversations.values(),
                *(conversation for _, conversation in self._arrived.values()),
            ]
            self._conversations, self._arrived = {}, {}
        if conversations:
            with ThreadPoolExecutor(max_workers=len(conversations)) as pool:
                list(pool.map(lambda conversation: conversation.close(GOODBYE_S), conversations))
        self._launcher.close()
