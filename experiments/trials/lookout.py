"""Waiting for the end of a root, and seeing in bounded time that it will not come.

The same while a server gets ready, which may load a model for minutes.

While a root works longer than a moment, its node is asked every `LOOK_S` for the end of its log,
and the other nodes every `PULSE_S` for a sign of life. That costs a node about a millisecond of CPU
time each, and trials shorter than `LOOK_S` nothing. The answers also name processes that have ended
or are frozen: what is so twice in a row ends the trial, because engines wait for each other for
ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Literal

from experiments.nodes.herd import Herd
from experiments.nodes.launcher import Conversation, NodeLostError, Reply, Request, expect
from experiments.trials.execution import Execution

ANSWER_S = 20.0
"""How long a node may take for what is quick."""
LOOK_S = 2.0
PULSE_S = 5.0
TAIL_CHARACTERS = 4096
"""Of a log's end, where its rate is looked for; the helper sends less."""
FROZEN = "was frozen"
"""As the helper says it."""


class Lookout:
    """Looks at one trial.

    Args:
        herd: the nodes.
        root: node of the root or server.
        unit: the root or server.
        others: the other nodes that take part.
        doing: what happens meanwhile, for messages.
        live: called with the end of its log.
    """

    def __init__(
        self,
        herd: Herd,
        root: str,
        unit: str,
        others: Iterable[str],
        doing: str,
        live: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._herd = herd
        self._root = root
        self._unit = unit
        self._others = tuple(others)
        self._doing = doing
        self._live = live
        self._suspects: dict[str, dict[str, str]] = {}

    def wait(self, verb: Literal["run", "start"], deadline_s: float, execution: Execution) -> Reply:
        """The reply to the root's `run` or the server's `start`.

        Args:
            verb: which of the two.
            deadline_s: after that the node itself ends the root, or gives up the server.
            execution: records what was seen.

        Raises:
            NodeLostError: the root's node does not answer.
        """
        conversation = self._herd.conversation(self._root)
        begun = time.monotonic()
        pulse_at = begun + PULSE_S
        asked_at: float | None = None
        while True:
            reply = conversation.poll(LOOK_S)
            now = time.monotonic()
            if reply is not None and reply.verb == verb:
                if asked_at is not None:
                    _await(conversation, "watch")
                return reply
            if reply is not None:
                asked_at = None
                self._live(reply.text("tail")[-TAIL_CHARACTERS:])
                self._suspect(self._root, reply, execution)
            elif asked_at is None:
                conversation.send(Request("watch", (("unit", self._unit),)))
                asked_at = now
            elif now - asked_at > 2 * PULSE_S:
                raise NodeLostError(self._root, f"{self._root} stopped answering")
            if now - begun > deadline_s + ANSWER_S:
                raise NodeLostError(self._root, f"{self._root} did not keep a deadline")
            if now >= pulse_at:
                pulse_at = now + PULSE_S
                self._feel_pulse(execution)
            if execution.cause is not None:
                conversation.send(Request("halt", (("unit", self._unit),)))
                return _await(conversation, verb)

    def _feel_pulse(self, execution: Execution) -> None:
        pings = {name: Request("ping") for name in self._others}
        replies, silent = self._herd.ask_each(pings, "say that it lives", 2 * PULSE_S)
        execution.lose(silent, self._doing)
        for name, reply in replies.items():
            self._suspect(name, reply, execution)

    def _suspect(self, node: str, reply: Reply, execution: Execution) -> None:
        """Take a process for lost when it is reported as ended or frozen for the second time.

        Once may be chance: when a worker ends, the root mostly sees it and says why.
        """
        told = reply.pairs("unwell")
        before = self._suspects.get(node, {})
        for unit, state in told.items():
            if before.get(unit) == state:
                execution.blame(f"{unit} on {node} {state} while {self._doing}")
                if state == FROZEN:
                    execution.refused = node  # its log cannot tell
        self._suspects[node] = told


def _await(conversation: Conversation, verb: str) -> Reply:
    """Wait for the reply to one request, past those to others."""
    while True:
        reply = expect(conversation, verb, ANSWER_S)
        if reply.verb == verb:
            return reply
