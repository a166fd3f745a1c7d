"""What one execution of a trial came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from collect.attempt import DeploymentRecord, LinkRecord, NodeEnergy, NodeRecord, ProcessRecord
from collect.plugs import PlugEnergy
from experiments.engines.base import Process
from experiments.nodes.launcher import Reply, UnitState


@dataclass(slots=True)
class Execution:
    """What became of it.

    Attributes:
        cause: why it did not end as it should, as far as the runner saw it; None if it did.
        lost: nodes that stopped answering.
        refused: the node that did not do what it was asked, if one did not; logs cannot show why.
        root_wall_s: lifetime of the root by its node's clock.
        logs: file name to content.
        beginnings: process to the beginning of its output and errors, where its logs here do not
            hold it because it served earlier trials.
        weights: node to the sha256 of the weights that its process read.
        software: nodes whose processes compute on a GPU that is software.
        link: the links of the nodes, where the matrix names them.
        window: when its main process was started and when the controller heard that it ended, by
            the monotonic clock; of several deployments from the first one's start to the last
            one's end. None if one never ran.
        deployments: of several at once.
    """

    started_at: float
    trial_wall_s: float = 0.0
    root_wall_s: float | None = None
    cause: str | None = None
    lost: tuple[str, ...] = ()
    refused: str | None = None
    processes: list[ProcessRecord] = field(default_factory=list)
    readings: dict[str, NodeRecord] = field(default_factory=dict)
    energy: dict[str, NodeEnergy] = field(default_factory=dict)
    plugs: dict[str, PlugEnergy] = field(default_factory=dict)
    logs: dict[str, bytes] = field(default_factory=dict)
    link: LinkRecord | None = None
    beginnings: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    software: set[str] = field(default_factory=set)
    window: tuple[float, float] | None = None
    deployments: list[DeploymentRecord] = field(default_factory=list)

    def blame(self, cause: str) -> None:
        """Name a cause; the first thing that went wrong is it, the rest follows from it."""
        if self.cause is None:
            self.cause = cause

    def lose(self, silent: Mapping[str, str], when: str) -> None:
        """Nodes were lost.

        Args:
            silent: node to the request that it did not answer.
            when: what was happening.
        """
        for node, reason in silent.items():
            self.blame(f"{reason} while {when}")
            self.lost = (*self.lost, node)

    def add(
        self,
        process: Process,
        unit: str,
        state: UnitState,
        reply: Reply,
        *,
        kept: bool = False,
    ) -> None:
        """Put a process and its logs into the account."""
        stem = f"{process.node.name}.{process.role}"
        gpu = process.node.gpus.get(process.gpu) if process.gpu else None
        if gpu is not None and gpu.is_software:
            self.software.add(process.node.name)
        out_file = err_file = None
        if "out" in reply.parts:
            out_file = f"{stem}.out"
            self.logs[out_file] = reply.parts["out"]
        if reply.parts.get("err"):
            err_file = f"{stem}.err"
            self.logs[err_file] = reply.parts["err"]
        self.processes.append(
            ProcessRecord(
                node=process.node.name,
                role=process.role,
                unit=unit,
                argv=process.argv,
                env=dict(process.env),
                exit_code=state.exit_code,
                signal=state.signal,
                result=state.result,
                started_at=state.started_at,
                runtime_s=state.runtime_s,
                cpu_s=state.cpu_s,
                memory_peak_mib=state.memory_peak_mib,
                received_bytes=state.received_bytes,
                sent_bytes=state.sent_bytes,
                out_file=out_file,
                err_file=err_file,
                kept=kept,
                gpu=process.gpu,
            )
        )
