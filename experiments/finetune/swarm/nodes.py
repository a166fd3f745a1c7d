"""The nodes of a swarm that trains: servers that live from job to job, and the client of each job.

Processes are started, watched, ended and their logs fetched as those of a trial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from collect.parsers import petals as parser
from collect.workloads import Benchmark
from core.errors import HerdError
from experiments.engines import petals
from experiments.engines.base import Cell
from experiments.fleet import commands
from experiments.fleet.cluster import Cluster
from experiments.fleet.inventory import read_cluster
from experiments.nodes.facts import look
from experiments.nodes.herd import Herd
from experiments.nodes.owner import Owner
from experiments.nodes.ssh.launcher import SshLauncher
from experiments.trials.execution import Execution
from experiments.trials.trial import TrialRunner
from experiments.trials.validity import failure
from models.catalogue import ModelSpec

JOB_S = 7200.0
"""Longest that a job may take; the node ends it then."""
TRIES = 3
"""Of a job, with servers started again after each that failed."""


class SwarmNodes:
    """A swarm that is taken.

    Args:
        herd: its nodes.
        cell: what is deployed.
        cluster: the nodes of the cell.
        base_sha256: of the weights that servers must read.
        say: hears why a job is done again.
    """

    def __init__(
        self,
        herd: Herd,
        cell: Cell,
        cluster: Cluster,
        base_sha256: str,
        say: Callable[[str], None],
    ) -> None:
        self._herd = herd
        self._cell = cell
        self._cluster = cluster
        self._base_sha256 = base_sha256
        self._say = say
        self._runner = TrialRunner(herd, lambda _tail: None)
        self._jobs = 0

    def __str__(self) -> str:
        names = ", ".join(node.name for node in self._cluster.nodes)
        return f"a swarm of {self._cell.nodes} ({names})"

    def run(self, arguments: Sequence[str]) -> bytes:
        """Run a job, and again with other servers where one fails.

        Args:
            arguments: of the client.

        Returns:
            What it printed.

        Raises:
            HerdError: it failed each time, a node is lost or has another base.
        """
        cause = ""
        for number in range(TRIES):
            if number:
                self._say(f"A job failed and is done again with new servers: {cause}.")
                self._begin_anew()
            execution = self._execute(arguments)
            _require_base(self._cell.model, self._base_sha256, execution.weights)
            out, cause = _told(execution)
            if not cause:
                return out
        raise HerdError(
            f"Training through the swarm: {cause}. What was trained before is kept; the same "
            "command continues from there."
        )

    def _execute(self, arguments: Sequence[str]) -> Execution:
        self._jobs += 1
        deployment = petals.ENGINE.deploy(self._cell, self._cluster)
        root = deployment.root
        argv = (*petals.swarm_program("tune", self._cell, root.node), *arguments)
        deployment = replace(deployment, root=replace(root, argv=argv))
        return self._runner.execute(deployment, f"tune-{self._jobs}", keep=True)

    def _begin_anew(self) -> None:
        """Stop the servers that are left, and find lost nodes again.

        Raises:
            HerdError: one is still lost.
        """
        self._runner.stop_kept()
        for reason in self._herd.regain().values():
            raise HerdError(
                f"Training through the swarm: {reason}. What was trained before is kept; the same "
                "command continues from there."
            )

    def stop(self) -> None:
        """Stop the servers."""
        self._runner.stop_kept()


@contextmanager
def swarm_for(
    spec: ModelSpec,
    base_sha256: str,
    longest: int,
    project: Path,
    inventory: str | None,
    say: Callable[[str], None],
) -> Iterator[SwarmNodes]:
    """Take the inventory's nodes that have Petals, as a swarm; let go of them in the end.

    Args:
        spec: the model that it has.
        base_sha256: of its weights on this machine.
        longest: positions of the longest example, its prompts among them.
        project: folder of `fabfile.py`.
        inventory: another inventory than that of `ansible.cfg`.
        say: hears why a job is done again.

    Raises:
        HerdError: no node has Petals, one belongs to another runner, or the model cannot be served.
    """
    launcher = SshLauncher(project)
    try:
        cluster = _with_petals(look(read_cluster(project, inventory), launcher), spec)
        cell = _cell(spec, len(cluster.nodes), longest)
        if reason := petals.ENGINE.check(cell, cluster):
            raise HerdError(f"Training {spec.name} through a swarm: {reason}.")
        herd = Herd(launcher, cluster.nodes, Owner.me())
        herd.own_all()
        try:
            nodes = SwarmNodes(herd, cell, cluster, base_sha256, say)
            yield nodes
            nodes.stop()
        finally:
            herd.close()
    finally:
        launcher.close()


def _require_base(model: str, base_sha256: str, read: Mapping[str, str]) -> None:
    """Refuse what was trained on other weights than those of the record.

    Args:
        model: its name.
        base_sha256: of its weights on this machine.
        read: node to the hash of what its process read.
    """
    for node, sha256 in read.items():
        if sha256 != base_sha256:
            raise HerdError(
                f"Training through the swarm: {node} has other weights of {model} "
                f"({sha256[:12]}…) than this machine ({base_sha256[:12]}…). First run "
                f"`{commands.provision('models', limit=[node])}`."
            )


def _with_petals(cluster: Cluster, spec: ModelSpec) -> Cluster:
    """The nodes that can have a server, at most one for each layer."""
    having = tuple(
        node
        for node in cluster.nodes
        if node.away is None
        and (there := node.engines.get(petals.ENGINE.name)) is not None
        and there.installed
    )
    if not having:
        raise HerdError(
            f"Training {spec.name} through a swarm: no node that answers has Petals. Set "
            f"`herd_petals: true` in the inventory, then run `{commands.provision()}`."
        )
    return replace(cluster, nodes=having[: spec.shape.layers])


def _cell(spec: ModelSpec, nodes: int, longest: int) -> Cell:
    params = {
        "engine": petals.ENGINE.name,
        "model": spec.name,
        "nodes": nodes,
        "weights": "f32",
        "workers": "kept",
        **{axis.name: axis.default for axis in petals.ENGINE.axes},
    }
    room = Benchmark(prompt_tokens=max(1, longest - 2), generate_tokens=2)
    return Cell(params, room, deadline_s=JOB_S)


def _told(execution: Execution) -> tuple[bytes, str]:
    """What the client printed, and why the job failed; "" if it did not."""
    root = next((one for one in execution.processes if one.role == "root"), None)
    out, err = (
        execution.logs.get(name or "", b"")
        for name in ((root.out_file, root.err_file) if root else ("", ""))
    )
    cause = failure(execution)
    if cause is None:
        return out, ""
    told = parser.failure_cause("", err.decode(errors="replace"))
    return out, f"{cause} ({told})" if told else cause
