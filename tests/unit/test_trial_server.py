"""A trial of an engine that serves: workers, then the server, then the client that asks it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from experiments.engines.base import Deployment, Process
from experiments.fleet.cluster import Node
from experiments.nodes.herd import Herd
from experiments.nodes.launcher import Reply, Request
from experiments.nodes.owner import Owner
from experiments.nodes.ssh.wire import reply_of
from experiments.trials.execution import Execution
from experiments.trials.lookout import Lookout
from experiments.trials.trial import TrialRunner
from experiments.trials.validity import failure
from tests.doubles.scripted import ScriptedConversation, ScriptedLauncher, World, cluster
from tests.doubles.scripted_run import world


class HeardLauncher(ScriptedLauncher):
    """Keeps what nodes were asked; its servers may refuse, or end before they are ready."""

    def __init__(self, world: World, refusal: str | None = None) -> None:
        super().__init__(world)
        self.world, self.refusal = world, refusal
        self.heard: list[tuple[str, Request]] = []

    def open(self, node: Node) -> ScriptedConversation:
        return HeardLink(node, self)


class HeardLink(ScriptedConversation):
    def __init__(self, node: Node, launcher: HeardLauncher) -> None:
        super().__init__(node, launcher.world)
        self._launcher = launcher

    def send(self, request: Request) -> None:
        self._launcher.heard.append((self.node.name, request))
        super().send(request)

    def _start(self, fields: dict[str, str], request: Request) -> Reply:
        reply = super()._start(fields, request)
        if self._launcher.refusal is None or not fields["unit"].endswith("-server"):
            return reply
        told = self._launcher.refusal.encode()
        return reply_of("start", ok=False, parts={**reply.parts, "error": told})


def deployment() -> Deployment:
    root, other = cluster(2).nodes
    argv = ("/opt/llama-herd/engines/distributed-llama/bin/dllama-api",)
    return Deployment(
        workers=(Process(other, "worker", argv, listen_port=9990),),
        server=Process(
            root, "server", argv, listen_port=9980, ready_line="Server URL:", ready_s=100.0
        ),
        root=Process(root, "client", ("/usr/local/libexec/llama-herd/herd-ask",)),
        expected_samples=1,
        deadline_s=50.0,
    )


def execute(launcher: HeardLauncher, *, keep: bool = False) -> Execution:
    herd = Herd(launcher, cluster(2).nodes, Owner.me())
    herd.own_all()
    try:
        return TrialRunner(herd, lambda _: None).execute(deployment(), "t", keep=keep)
    finally:
        herd.close()


def asked(launcher: HeardLauncher) -> list[tuple[str, str, str]]:
    """Node, verb and unit of all that concerned a unit."""
    named = [(node, request.verb, dict(request.fields)) for node, request in launcher.heard]
    return [(node, verb, f["unit"]) for node, verb, f in named if "unit" in f]


@pytest.mark.parametrize("keep", [False, True])
def test_the_server_is_ready_before_the_client_begins_and_stops_before_the_workers(
    tmp_path: Path, *, keep: bool
) -> None:
    launcher = HeardLauncher(world(tmp_path))

    execution = execute(launcher, keep=keep)

    worker = "herd-t-kept-worker" if keep else "herd-t-worker"
    assert asked(launcher) == [
        ("pi2", "start", worker),
        ("pi1", "start", "herd-t-server"),
        ("pi1", "run", "herd-t-client"),
        ("pi1", "stop", "herd-t-server"),
        ("pi2", "fetch" if keep else "stop", worker),
    ]
    assert failure(execution) is None
    assert [p.role for p in execution.processes] == ["client", "server", "worker"]
    assert {"pi1.client.out", "pi1.server.out", "pi2.worker.out"} <= execution.logs.keys()


def test_the_node_is_told_how_a_server_shows_that_it_is_ready(tmp_path: Path) -> None:
    launcher = HeardLauncher(world(tmp_path))
    execute(launcher)

    (fields,) = (
        dict(request.fields)
        for node, request in launcher.heard
        if (node, request.verb) == ("pi1", "start")
    )
    assert (fields["port"], fields["line"]) == ("9980", "Server URL:")
    assert (fields["ready"], fields["deadline"]) == ("100", "50")


def test_without_a_server_nobody_is_asked_and_its_log_is_kept(tmp_path: Path) -> None:
    launcher = HeardLauncher(world(tmp_path), refusal="it ended before it listened")

    execution = execute(launcher)

    assert execution.cause == "the server on pi1 was not ready: it ended before it listened"
    assert "run" not in [verb for _, verb, _ in asked(launcher)]
    assert "pi1.server.out" in execution.logs
    assert launcher.world.units() == []


def test_a_client_that_fails_fails_the_trial(tmp_path: Path) -> None:
    execution = execute(HeardLauncher(world(tmp_path, fails=lambda unit: True)))

    assert failure(execution) == "the client on pi1 ended with exit-code"


def test_at_the_deadline_it_is_not_a_worker_that_is_stopped(tmp_path: Path) -> None:
    """They begin first: with the same deadline they would end first, and their root of that."""
    launcher = HeardLauncher(world(tmp_path))
    execute(launcher)
    begun = [
        dict(request.fields) for _, request in launcher.heard if request.verb in {"start", "run"}
    ]
    deadline_s = {fields["unit"].rpartition("-")[2]: int(fields["deadline"]) for fields in begun}
    assert deadline_s["client"] == deadline_s["server"] == 50
    assert deadline_s["worker"] > 50 + 10


def test_a_client_that_was_halted_is_not_one_that_could_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its times may be forgotten; why it was halted is for the logs of all to tell."""
    wait = Lookout.wait

    def halted(
        lookout: Lookout, verb: Literal["run", "start"], deadline_s: float, execution: Execution
    ) -> Reply:
        reply = wait(lookout, verb, deadline_s, execution)
        if verb == "run":
            execution.blame("the worker had ended")
            reply.parts["props"] = b""
        return reply

    monkeypatch.setattr(Lookout, "wait", halted)
    execution = execute(HeardLauncher(world(tmp_path)))

    assert (execution.cause, execution.refused) == ("the worker had ended", None)
