"""One execution of a trial: the fewest round trips that do it.

Workers started fresh: (start, wait until ready) on all nodes at once | the root, with its log |
(stop, fetch) on all nodes at once. Workers kept: the root | fetch. An engine that serves has its
server started before the root, which is then the client that asks it, and stopped after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from collect.attempt import NodeReading, NodeRecord
from experiments.engines.base import Deployment, Process
from experiments.nodes.herd import Herd
from experiments.nodes.launcher import NodeLostError, Reply, Request
from experiments.plugs.watch import PlugWatch
from experiments.trials.at_once import execute_at_once
from experiments.trials.execution import Execution
from experiments.trials.kept_workers import KeptWorker, KeptWorkers
from experiments.trials.lookout import ANSWER_S, Lookout
from experiments.trials.meter import Meter, note_plugs
from experiments.trials.weights import WeightsRead, weights_path

KEPT_S = 86_400.0
"""Reused workers serve many trials; they end with the connection of the runner, or after a day."""

BEGINNING_BYTES = 1 << 18
"""Of a reused worker's logs, where it says on what it computes; more than engines write there."""
GRACE_S = 30.0
"""So much longer than the root its workers may live: else they, who began before it, would reach
the deadline first, and the root would end by losing them."""


class TrialRunner:
    """Executes deployments on a herd.

    Args:
        herd: the nodes.
        live: called with the end of the root's log while it works.
        plugs: that feed nodes; the caller closes them.
        weights: knows what was hashed before; nothing by default.
    """

    def __init__(
        self,
        herd: Herd,
        live: Callable[[str], None],
        plugs: PlugWatch | None = None,
        weights: WeightsRead | None = None,
    ) -> None:
        self._herd = herd
        self._live = live
        self._plugs = plugs or PlugWatch()
        self._kept = KeptWorkers()
        self._weights = weights or WeightsRead(herd)

    def is_warm(self, deployment: Deployment) -> bool:
        """Whether all its workers live on from an earlier trial."""
        return not self._kept.missing(deployment)

    def execute_all(self, deployments: Sequence[Deployment], name: str, *, keep: bool) -> Execution:
        """Carry out a trial of one deployment, or of several at once, which keep no workers.

        Args:
            deployments: on disjoint nodes.
            name: of their units, after `herd-`.
            keep: use the workers of earlier trials and leave them to later ones.
        """
        if len(deployments) == 1:
            return self.execute(deployments[0], name, keep=keep)
        self.stop_kept()
        whole = execute_at_once(
            deployments,
            lambda one, into, wait, is_first: self._for_several(is_shown=is_first).execute(
                one, name, keep=False, wait=wait, into=into
            ),
        )
        nodes = {node for one in whole.deployments for node in one.nodes}
        note_plugs(self._plugs, nodes, whole)
        return whole

    def _for_several(self, *, is_shown: bool) -> TrialRunner:
        """Return what carries out one of several: plugs are read for all, one rate is shown."""
        return TrialRunner(
            self._herd, self._live if is_shown else lambda _: None, weights=self._weights
        )

    def execute(
        self,
        deployment: Deployment,
        name: str,
        *,
        keep: bool,
        wait: Callable[[], str | None] = lambda: None,
        into: Execution | None = None,
    ) -> Execution:
        """Carry out one deployment.

        Args:
            deployment: its processes.
            name: of its units, after `herd-`.
            keep: use the workers of earlier trials and leave them to later ones.
            wait: is called before its root starts; says why it must not, or None.
            into: its account, where others look at it meanwhile.
        """
        self.stop_kept(self._kept.strangers(deployment, keep=keep))
        before: dict[str, NodeReading] = {}
        execution = into or Execution(started_at=time.time())
        served = () if deployment.server is None else (deployment.server,)
        self._weights.learn((*deployment.workers, *served, deployment.root), execution)
        if keep:
            missing = self._kept.missing(deployment)
            self._start(missing, f"{name}-kept", KEPT_S, before, execution)
            for worker in missing:
                unit = _unit(f"{name}-kept", worker)
                self._kept.add(worker, unit, before.get(worker.node.name))
        execution.started_at = time.time()
        begun = time.perf_counter()
        if not keep:
            longest_s = deployment.deadline_s + GRACE_S
            self._start(deployment.workers, name, longest_s, before, execution)
        if execution.cause is None and (why := wait()):
            execution.blame(why)
        if execution.cause is None:
            self._work(deployment, name, execution)
        if keep:
            self._fetch(deployment, execution)
        else:
            self._stop(deployment, name, before, execution)
        execution.trial_wall_s = time.perf_counter() - begun
        return execution

    def stop_kept(self, nodes: Iterable[str] | None = None) -> None:
        """Stop reused workers: those of these nodes, or all."""
        requests = {
            node: Request("stop", (("unit", worker.unit),))
            for node, worker in self._kept.remove(nodes)
            if node not in self._herd.lost()
        }
        if requests:
            self._herd.ask_each(requests, "stop a worker", ANSWER_S)

    def _start(
        self,
        workers: Sequence[Process],
        name: str,
        deadline_s: float,
        before: dict[str, NodeReading],
        execution: Execution,
    ) -> None:
        requests = {
            worker.node.name: _launch("start", worker, name, deadline_s) for worker in workers
        }
        longest_s = max((worker.ready_s for worker in workers), default=0.0)
        replies, silent = self._herd.ask_each(requests, "start a worker", longest_s + 5.0)
        for node, reply in replies.items():
            before[node] = reply.before
            if reply.is_going_down:
                self._herd.lose(node)
                silent[node] = _going_down(node, reply)
            elif not reply.ok:
                execution.refused = node
                execution.blame(f"the worker on {node} did not start: {reply.why()}")
        execution.lose(silent, "its worker was started")

    def _work(self, deployment: Deployment, name: str, execution: Execution) -> None:
        """Run the root; where it is a client, while its server lives."""
        server = deployment.server
        if server is None:
            self._run(deployment, name, execution)
            return
        self._serve(deployment, server, name, execution)
        if execution.cause is None:
            self._run(deployment, name, execution)
        self._stop_server(server, name, execution)

    def _serve(
        self, deployment: Deployment, server: Process, name: str, execution: Execution
    ) -> None:
        """Start the server and wait until it is ready."""
        node = server.node.name
        try:
            self._herd.conversation(node).send(
                _launch("start", server, name, deployment.deadline_s)
            )
            unit, others = _unit(name, server), _others(deployment)
            lookout = Lookout(self._herd, node, unit, others, "the server was started")
            reply = lookout.wait("start", server.ready_s, execution)
        except NodeLostError as error:
            self._herd.lose(error.node)
            execution.lose({error.node: str(error)}, "the server was started there")
            return
        if reply.is_going_down:
            self._herd.lose(node)
            execution.lose({node: _going_down(node, reply)}, "the server was started there")
        elif not reply.ok:
            execution.blame(f"the server on {node} was not ready: {reply.why()}")

    def _stop_server(self, server: Process, name: str, execution: Execution) -> None:
        """Stop the server and take its log."""
        node, unit = server.node.name, _unit(name, server)
        if node in self._herd.lost():
            return
        replies, silent = self._herd.ask_each(
            {node: Request("stop", (("unit", unit),))}, "stop the server", ANSWER_S
        )
        execution.lose(silent, "its server was stopped")
        for reply in replies.values():
            execution.add(server, unit, reply.state, reply)
            self._weights.note(server, reply, execution)

    def _run(self, deployment: Deployment, name: str, execution: Execution) -> None:
        root = deployment.root
        unit = _unit(name, root)
        meter = Meter(self._herd, deployment, execution, self._plugs)
        meter.begin()
        if execution.cause is not None:
            return
        try:
            conversation = self._herd.conversation(root.node.name)
            conversation.send(_launch("run", root, name, deployment.deadline_s))
            lookout = Lookout(
                self._herd,
                root.node.name,
                unit,
                _others(deployment),
                f"the {root.role} was running",
                self._live,
            )
            reply = lookout.wait("run", deployment.deadline_s, execution)
        except NodeLostError as error:
            self._herd.lose(error.node)
            execution.lose({error.node: str(error)}, f"the {root.role} was running there")
            return
        if reply.is_going_down:
            self._herd.lose(root.node.name)
            told = _going_down(root.node.name, reply)
            execution.lose({root.node.name: told}, f"the {root.role} was started there")
            return
        if not reply.ok:
            execution.refused = root.node.name
            execution.blame(f"the {root.role} on {root.node.name} did not start: {reply.why()}")
            return
        meter.end(reply)
        state = reply.state
        execution.root_wall_s = state.runtime_s
        execution.readings[root.node.name] = NodeRecord(before=reply.before, after=reply.after)
        execution.add(root, unit, state, reply)
        self._weights.note(root, reply, execution)
        # Of one that was halted for a cause found before, systemd may have forgotten the times.
        if state.runtime_s is None and execution.cause is None:
            execution.refused = root.node.name
            execution.blame(
                f"systemd could not start the {root.role} on {root.node.name}: {state.result}"
            )

    def _stop(
        self,
        deployment: Deployment,
        name: str,
        before: Mapping[str, NodeReading],
        execution: Execution,
    ) -> None:
        workers = {w.node.name: w for w in deployment.workers if w.node.name in before}
        requests = {
            node: Request("stop", (("unit", _unit(name, worker)),))
            for node, worker in workers.items()
            if node not in self._herd.lost()
        }
        replies, silent = self._herd.ask_each(requests, "stop a worker", ANSWER_S)
        execution.lose(silent, "its worker was stopped")
        for node, reply in replies.items():
            execution.add(
                workers[node],
                _unit(name, workers[node]),
                reply.state,
                reply,
            )
            self._weights.note(workers[node], reply, execution)
            execution.readings.setdefault(
                node,
                NodeRecord(before=before[node], after=reply.after),
            )

    def _fetch(self, deployment: Deployment, execution: Execution) -> None:
        workers = self._kept.of(deployment)
        requests = {
            node: Request(
                "fetch",
                (
                    ("unit", worker.unit),
                    ("out_from", str(worker.out_from)),
                    ("err_from", str(worker.err_from)),
                ),
            )
            for node, worker in workers.items()
            if node not in self._herd.lost()
        }
        replies, silent = self._herd.ask_each(requests, "fetch a worker's log", ANSWER_S)
        execution.lose(silent, "its worker's log was fetched")
        for node, reply in replies.items():
            _fetched(workers[node], reply, execution)
            self._weights.note(workers[node].process, reply, execution)


def _fetched(worker: KeptWorker, reply: Reply, execution: Execution) -> None:
    """Account for what a kept worker did since it was asked last."""
    node = worker.process.node.name
    state = reply.state
    used_s = state.cpu_s
    if used_s is not None and worker.cpu_s is not None:
        state = replace(state, cpu_s=max(0.0, used_s - worker.cpu_s))
    execution.add(worker.process, worker.unit, state, reply, kept=True)
    execution.readings.setdefault(node, NodeRecord(before=worker.reading, after=reply.after))
    if worker.beginning is None:
        out, err = (reply.parts.get(kind, b"")[:BEGINNING_BYTES] for kind in ("out", "err"))
        worker.beginning = out, err
    else:
        execution.beginnings[f"{node}.{worker.process.role}"] = worker.beginning
    worker.out_from = _end(reply, "out", worker.out_from)
    worker.err_from = _end(reply, "err", worker.err_from)
    worker.cpu_s, worker.reading = used_s, reply.after
    if not reply.state.running:
        execution.blame(f"the kept worker on {node} ended")


def _end(reply: Reply, kind: str, begin: int) -> int:
    """Where a log continues: a node sends both ends of a long one and says where it stopped."""
    told = reply.pairs("ends").get(kind, "")
    is_place = told.isascii() and told.isdigit() and len(told) <= len(str(2**40))
    return int(told) if is_place else begin + len(reply.parts.get(kind, b""))


def _going_down(node: str, reply: Reply) -> str:
    return f"{node} is shutting down ({reply.why()})"


def _others(deployment: Deployment) -> list[str]:
    """Nodes that take part in addition to the root's."""
    root = deployment.root.node.name
    return [w.node.name for w in deployment.workers if w.node.name != root]


def _unit(name: str, process: Process) -> str:
    return f"herd-{name}-{process.role}"


def _launch(verb: str, process: Process, name: str, deadline_s: float) -> Request:
    """The request that starts a process."""
    fields = [("unit", _unit(name, process)), ("deadline", str(max(1, round(deadline_s))))]
    if verb == "start":
        fields.append(("ready", str(max(1, round(process.ready_s)))))
        if process.listen_port is not None:
            fields.append(("port", str(process.listen_port)))
        if process.ready_line is not None:
            fields.append(("line", process.ready_line))
    if process.gpu is not None:
        fields += [("gpu", process.gpu), ("gpu_index", str(process.node.gpu_index))]
    if (weights := weights_path(process)) is not None:
        fields.append(("weights", weights))
    fields += [("env", f"{key}={value}") for key, value in process.env.items()]
    fields += [("arg", argument) for argument in process.argv]
    return Request(verb, tuple(fields))
