"""A node is unplugged at any request that is sent, and plugged in again soon, or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import HerdError
from experiments.fleet.cluster import Node
from experiments.nodes import herd
from experiments.nodes.launcher import NodeLostError, Reply, Request
from experiments.sessions import session
from experiments.trials import lookout
from tests.doubles.absent_run import AXES, counted, measure, study
from tests.doubles.scripted import ScriptedConversation, ScriptedLauncher, World
from tests.doubles.scripted_run import world


class Unplugging(ScriptedLauncher):
    """Has one node fall silent at the n-th request that any node gets, and back some later."""

    def __init__(self, the_world: World, node: str, at: int, back_after: int) -> None:
        super().__init__(the_world)
        self.node = node
        self.at = range(at, at + back_after)
        self.requests = 0

    def open(self, node: Node) -> ScriptedConversation:
        self.count()
        link = super().open(node)
        send = link.send

        def counted_send(request: Request) -> None:
            self.count()
            send(request)

        link.send = counted_send  # type: ignore[method-assign]
        return link

    def count(self) -> None:
        self.requests += 1
        silent = self._world.silent
        (silent.add if self.requests in self.at else silent.discard)(self.node)


@pytest.mark.parametrize("node", ["pi1", "pi2"])
def test_whenever_a_node_is_unplugged_the_account_is_true_and_the_run_can_be_completed(
    tmp_path: Path, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr(lookout, "ANSWER_S", 0.02)
    monkeypatch.setattr(lookout, "LOOK_S", 0.01)
    monkeypatch.setattr(lookout, "PULSE_S", 0.02)
    monkeypatch.setattr(herd, "GOODBYE_S", 0.02)
    monkeypatch.setattr("experiments.nodes.herd.expect", _soon)
    monkeypatch.setattr("experiments.nodes.launcher.expect", _soon)
    asked = study(axes={**AXES, "nodes": (1, 2)}, repeats=1, max_attempts=9)
    quiet = Unplugging(world(tmp_path / "quiet"), node, 0, 0)
    measure(tmp_path / "quiet", quiet._world, asked, nodes=2, launcher=quiet)

    for at in range(1, quiet.requests + 1):
        for back_after in (3, 10_000):
            folder = tmp_path / f"{at}-{back_after}"
            the_world = world(folder)
            launcher = Unplugging(the_world, node, at, back_after)
            try:
                result, _ = measure(folder, the_world, asked, nodes=2, launcher=launcher)
            except HerdError as error:
                assert node in str(error)  # noqa: PT017 - it may end so, or not
            else:
                assert counted(result)[1] == 0
                assert (result.exit_code == 0) == (result.counts["pending"] == 0)
            finished, _ = measure(folder, world(folder), asked, nodes=2)
            assert counted(finished) == (2, 0, 0, 0), at
            assert world(folder).units() == []


def _soon(link: Any, doing: str, timeout_s: float) -> Reply:  # noqa: ANN401
    reply = link.poll(0.02)
    if reply is None:
        raise NodeLostError(link.node.name, f"{link.node.name} did not answer ({doing})")
    return reply
