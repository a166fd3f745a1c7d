"""Workers that live on from one trial to the next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from collect.attempt import NodeReading
from experiments.engines.base import Deployment, Process


@dataclass(slots=True)
class KeptWorker:
    """A worker that lives on.

    Attributes:
        out_from: bytes of its output fetched so far.
        err_from: bytes of its standard error fetched so far.
        cpu_s: CPU time it had used then.
        reading: state of its node then.
        beginning: of its output and errors, as they were fetched first; None until then.
    """

    process: Process
    unit: str
    out_from: int = 0
    err_from: int = 0
    cpu_s: float | None = None
    reading: NodeReading | None = None
    beginning: tuple[bytes, bytes] | None = None


class KeptWorkers:
    """At most one a node."""

    def __init__(self) -> None:
        self._workers: dict[str, KeptWorker] = {}

    def add(self, process: Process, unit: str, reading: NodeReading | None) -> None:
        """Remember a worker that was started."""
        self._workers[process.node.name] = KeptWorker(process, unit, reading=reading)

    def missing(self, deployment: Deployment) -> tuple[Process, ...]:
        """The workers of a deployment that do not live yet."""
        return tuple(w for w in deployment.workers if not self._has(w))

    def of(self, deployment: Deployment) -> dict[str, KeptWorker]:
        """The reused workers that serve a deployment, by node."""
        names = [worker.node.name for worker in deployment.workers]
        return {name: self._workers[name] for name in names if name in self._workers}

    def strangers(self, deployment: Deployment, *, keep: bool) -> tuple[str, ...]:
        """Nodes whose kept worker must go before this deployment.

        A worker of the same kind on a node that this deployment does not need may stay: idle, it
        waits in `accept`.
        """
        kinds = [_kind(worker) for worker in deployment.workers] if keep else []
        wanted = {worker.node.name: worker for worker in deployment.workers}
        return tuple(
            name
            for name, kept in self._workers.items()
            if _kind(kept.process) not in kinds
            or not _same(wanted.get(name, kept.process), kept.process)
        )

    def remove(self, nodes: Iterable[str] | None) -> list[tuple[str, KeptWorker]]:
        """Forget the workers of these nodes (None: all), and return them."""
        names = list(self._workers) if nodes is None else list(nodes)
        return [(name, self._workers.pop(name)) for name in names if name in self._workers]

    def _has(self, worker: Process) -> bool:
        kept = self._workers.get(worker.node.name)
        return kept is not None and _same(kept.process, worker)


def _same(one: Process, other: Process) -> bool:
    return (one.argv, dict(one.env), one.gpu) == (other.argv, dict(other.env), other.gpu)


def _kind(worker: Process) -> tuple[object, ...]:
    """What it runs, apart from the address it listens on."""
    argv = tuple(word for word in worker.argv if word != worker.node.listen_address)
    return (argv, tuple(sorted(worker.env.items())), worker.gpu)
