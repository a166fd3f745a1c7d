"""Energy used by a trial's nodes while its main process runs.

The counters of the root's node are read by its helper just before it starts the process and just
after that ended. Other nodes are asked then, at once, where they have counters or compute on a GPU:
two round trips. Smart plugs are read by threads of the controller (`experiments/plugs/`): a trial
only marks when it begins and ends. Of several deployments at once, counters are read for each, and
plugs once for all, when the last has ended: over one window, because a plug may feed nodes of more
than one of them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from collect.attempt import NodeEnergy
from collect.plugs import POWER_FILE, power_file
from core.foreign import decimal, one_line
from experiments.engines.base import Deployment
from experiments.nodes.facts import COUNTERS
from experiments.nodes.herd import Herd
from experiments.nodes.launcher import Reply, Request
from experiments.plugs.watch import PlugWatch
from experiments.trials.execution import Execution
from experiments.trials.lookout import ANSWER_S

MOMENT = "at_s"
MOST_COUNTERS = 200
Reading = Mapping[str, str]
"""Counter to joules, and `at_s` to the moment, as the helper writes them."""


class Meter:
    """Reads the counters of the nodes of one trial.

    Args:
        herd: the nodes.
        deployment: which of them take part.
        execution: records what was used, and which node did not answer.
        plugs: that feed nodes.
    """

    def __init__(
        self, herd: Herd, deployment: Deployment, execution: Execution, plugs: PlugWatch
    ) -> None:
        self._herd = herd
        self._plugs = plugs
        self._execution = execution
        self._root = deployment.root.node.name
        taking_part = {worker.node.name: worker.node for worker in deployment.workers}
        computing = {worker.node.name for worker in deployment.workers if worker.gpu is not None}
        self._taking_part = {self._root, *taking_part}
        self._others = [
            name
            for name, node in taking_part.items()
            if name != self._root and (node.facts.get(COUNTERS) or name in computing)
        ]
        self._before: dict[str, Reading] = {}
        self._begun_s = 0.0

    def begin(self) -> None:
        """The process is about to start."""
        self._before = self._ask()
        self._begun_s = time.monotonic()

    def end(self, reply: Reply) -> None:
        """It ended; `reply` is its node's."""
        self._execution.window = self._begun_s, time.monotonic()
        note_plugs(self._plugs, self._taking_part, self._execution)
        after = self._ask()
        self._before[self._root] = reply.pairs("energy_before")
        after[self._root] = reply.pairs("energy_after")
        for node, before in self._before.items():
            try:
                used = energy_between(before, after.get(node, {}))
            except ValueError as error:
                self._execution.refused = node  # its log cannot tell
                self._execution.blame(f"{node} reports an impossible energy reading: {error}")
                continue
            if used is not None:
                self._execution.energy[node] = used

    def _ask(self) -> dict[str, Reading]:
        asked = {name: Request("energy") for name in self._others if name not in self._herd.lost()}
        if not asked:
            return {}
        replies, silent = self._herd.ask_each(asked, "read its energy counters", ANSWER_S)
        self._execution.lose(silent, "its energy counters were read")
        return {node: reply.pairs("energy") for node, reply in replies.items()}


def note_plugs(plugs: PlugWatch, nodes: Collection[str], execution: Execution) -> None:
    """Put into an account what plugs counted in its window; nothing where it has none.

    Args:
        plugs: of the session.
        nodes: names of the nodes of the trial's cell.
        execution: the account.
    """
    if not plugs.are_there or execution.window is None:
        return
    begun_s, ended_s = execution.window
    execution.plugs, readings = plugs.between(begun_s, ended_s, nodes)
    if readings:
        execution.logs[POWER_FILE] = power_file(readings)


def energy_between(before: Reading, after: Reading) -> NodeEnergy | None:
    """What a node used between two readings; None where it has no counters, or lost one.

    Raises:
        ValueError: a counter gives no number, or went back; time did; there are absurdly many.
    """
    if not before or before.keys() != after.keys():
        return None
    if len(before) > MOST_COUNTERS or MOMENT not in before:
        raise ValueError(f"{len(before)} counters, with or without the time")
    used = {one_line(name, 80): _risen(name, before[name], after[name]) for name in before}
    return NodeEnergy(window_s=used.pop(MOMENT), joules=used)


def _risen(name: str, before: str, after: str) -> float:
    began, ended = decimal(before), decimal(after)
    if began is None or ended is None or ended < began:
        told = f"`{one_line(before, 40)}`, then `{one_line(after, 40)}`"
        raise ValueError(f"{one_line(name, 80)} was {told}")
    return ended - began
