"""Several deployments of a trial at the same time, each in a thread, on nodes that no other has.

All start their workers; when all are ready, all start their roots. If one fails, the others are
halted, and the attempt has failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Barrier, BrokenBarrierError, Thread

from collect.attempt import DeploymentRecord
from experiments.engines.base import Deployment
from experiments.trials.execution import Execution

Wait = Callable[[], str | None]
Execute = Callable[[Deployment, Execution, Wait, bool], Execution]
"""Carries out one: it, its account, what waits for the others, and whether it is the first."""
OTHER_FAILED = "another deployment of the trial failed"
INTERRUPTED = "the trial was interrupted"
LOOK_S = 0.1
"""How soon Ctrl-C is noticed."""
END_S = 10.0
"""How long deployments may take to end after it; what still runs ends with the conversations."""


@dataclass(slots=True)
class _Running:
    """One deployment: what becomes of it, or what it raised."""

    deployment: Deployment
    execution: Execution
    raised: BaseException | None = None


def execute_at_once(deployments: Sequence[Deployment], execute: Execute) -> Execution:
    """Carry out deployments at the same time.

    Args:
        deployments: on disjoint nodes.
        execute: carries out one.

    Returns:
        What became of all together.
    """
    started_at, begun = time.time(), time.monotonic()
    running = [_Running(one, Execution(started_at=started_at)) for one in deployments]
    barrier = Barrier(len(running))
    threads = [
        Thread(target=_run, args=(one, execute, barrier, running), daemon=True) for one in running
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(LOOK_S)
    except KeyboardInterrupt:
        _end(running, barrier, INTERRUPTED)
        until = time.monotonic() + END_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        raise
    for one in running:
        if one.raised is not None:
            raise one.raised
    whole = _together(running, begun)
    whole.started_at = started_at
    whole.trial_wall_s = time.monotonic() - begun
    return whole


def _run(one: _Running, execute: Execute, barrier: Barrier, running: Sequence[_Running]) -> None:
    """Carry out one, in its thread."""
    processes = (*one.deployment.workers, one.deployment.root)
    longest_s = max(process.ready_s for process in processes) + one.deployment.deadline_s

    def wait() -> str | None:
        try:
            barrier.wait(longest_s)
        except BrokenBarrierError:
            return OTHER_FAILED
        return None

    try:
        execute(one.deployment, one.execution, wait, one is running[0])
    except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
        one.raised = error
    if one.raised is not None or one.execution.cause is not None:
        _end(running, barrier, OTHER_FAILED)


def _end(running: Sequence[_Running], barrier: Barrier, cause: str) -> None:
    """Let those that still run end soon, and no other begin."""
    barrier.abort()
    for one in running:
        one.execution.blame(cause)


def _together(running: Sequence[_Running], begun: float) -> Execution:
    """Put the accounts of all deployments into one."""
    whole = Execution(started_at=0.0)
    for one in running:
        found = one.execution
        # What another one caused is no cause: that one has its own.
        if found.cause is not None and found.cause != OTHER_FAILED:
            whole.blame(found.cause)
        whole.lost = (*whole.lost, *found.lost)
        whole.refused = whole.refused or found.refused
        whole.processes += found.processes
        for name in ("readings", "energy", "logs", "beginnings", "weights"):
            getattr(whole, name).update(getattr(found, name))
        whole.software |= found.software
        began_s, ended_s = found.window or (begun, begun)
        whole.deployments.append(
            DeploymentRecord(
                nodes=_nodes(one.deployment), began_s=began_s - begun, ended_s=ended_s - begun
            )
        )
        if found.root_wall_s is not None:
            whole.root_wall_s = max(found.root_wall_s, whole.root_wall_s or 0.0)
    if whole.cause is None and any(one.execution.cause for one in running):
        whole.blame(OTHER_FAILED)
    windows = [one.execution.window for one in running]
    known = [window for window in windows if window is not None]
    if len(known) == len(windows):
        whole.window = min(begun for begun, _ in known), max(ended for _, ended in known)
    return whole


def _nodes(deployment: Deployment) -> tuple[str, ...]:
    names = (deployment.root.node.name, *(worker.node.name for worker in deployment.workers))
    return tuple(dict.fromkeys(names))
