"""This machine used as a node: it runs the client that asks APIs.

It answers as `experiments.nodes.launcher` wants it, so that the rest of the runner need not
know where a client runs. The client sees this process's environment, in which the key may be, and
ends with this process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from collect.attempt import NodeReading
from core.paths import CLIENT
from experiments.fleet.cluster import CONTROLLER, Node
from experiments.nodes.launcher import Conversation, Launcher, Reply, Request, UnitState

CASSETTES_FOLDER = "cassettes"
"""Below the folder of all runs: kept answers serve later runs, too."""


class WithController:
    """A launcher that reaches this machine in addition to its nodes.

    Args:
        nodes: reaches the nodes.
        results: folder of all runs.
    """

    def __init__(self, nodes: Launcher, results: Path) -> None:
        self._nodes = nodes
        self._cassettes = results / CASSETTES_FOLDER

    def open(self, node: Node) -> Conversation:
        """A conversation with a node, or to this machine."""
        return (
            ControllerConversation(self._cassettes)
            if node is CONTROLLER
            else self._nodes.open(node)
        )

    def drop(self, node: Node) -> None:
        """Forget the connection to a node."""
        if node is not CONTROLLER:
            self._nodes.drop(node)

    def close(self) -> None:
        """End all connections."""
        self._nodes.close()


class ControllerConversation:
    """Runs one client at a time.

    Args:
        cassettes: folder of kept answers.
    """

    node = CONTROLLER

    def __init__(self, cassettes: Path) -> None:
        self._cassettes = cassettes
        self._replies: deque[Reply] = deque()
        self._client: _Client | None = None

    def send(self, request: Request) -> None:
        """Do what is asked; there is nothing to own, to watch or to clean."""
        if request.verb == "run":
            self._client = _Client(request, self._cassettes)
            return
        if request.verb == "halt" and self._client is not None:
            self._client.kill("success")
        self._replies.append(Reply(request.verb, ok=True))

    def poll(self, timeout_s: float) -> Reply | None:
        """The reply, or None if it does not come within that time."""
        if self._replies:
            return self._replies.popleft()
        reply = self._client.wait(timeout_s) if self._client else None
        if reply is not None:
            self._client = None
        return reply

    def close(self, timeout_s: float) -> None:
        """End what runs."""
        if self._client is not None:
            self._client.kill("success")
            self._client.wait(timeout_s)


class _Client:
    """The process that a request of the verb `run` asks for."""

    def __init__(self, request: Request, cassettes: Path) -> None:
        words = [value for key, value in request.fields if key == "arg"]
        self._before = _reading()
        self._started_at = time.time()
        self._started_s = time.monotonic()
        self._deadline_s = self._started_s + float(dict(request.fields)["deadline"])
        self._result: str | None = None
        # Its other end tells the client that this process is no more; `communicate` would close it.
        stdin, self._lifeline = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-IS", str(CLIENT), *words[1:]],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "HERD_CASSETTES": str(cassettes.resolve())},
            start_new_session=True,  # Ctrl-C is for the runner, which ends the client in order
        )
        os.close(stdin)

    def kill(self, result: str) -> None:
        """End it; `result` is what systemd would say."""
        self._result = result
        self._process.kill()

    def wait(self, timeout_s: float) -> Reply | None:
        """The reply when it has ended; None while it runs."""
        left_s = max(0.0, self._deadline_s - time.monotonic())
        try:
            out, err = self._process.communicate(timeout=min(timeout_s, left_s))
        except subprocess.TimeoutExpired:
            if time.monotonic() < self._deadline_s:
                return None
            self.kill("timeout")
            out, err = self._process.communicate()
        os.close(self._lifeline)
        return Reply(
            "run",
            ok=True,
            parts={"out": out, "err": err},
            state=self._state(),
            before=self._before,
            after=_reading(),
        )

    def _state(self) -> UnitState:
        """What became of it, in the words that systemd has for a unit's end."""
        status = self._process.returncode
        ended = "signal" if status < 0 else "exit-code" if status else "success"
        return UnitState(
            exit_code=status if status >= 0 else None,
            signal=-status if status < 0 else None,
            result=self._result or ended,
            started_at=self._started_at,
            runtime_s=time.monotonic() - self._started_s,
        )


def _reading() -> NodeReading:
    return NodeReading(clock_s=time.time(), uptime_s=time.monotonic())
