"""What engines are asked about, and what they answer with: cells, processes, axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from collect.attempt import Role, ScoredRecord
from collect.cells import GROUPS_FORM
from collect.run import Price
from collect.workloads import Workload
from core.record import Scalar
from experiments.fleet.cluster import CLUSTER, Backend, Node
from models.shape import Weights

Device = Literal["cpu", "gpu"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An API.

    Attributes:
        url: up to `/v1`.
        key_env: name of the environment variable that holds its key; None if it takes none.
        token_limit: what it calls the most tokens of an answer.
        extra: more fields of a request.
        price: None if it costs nothing, or no price is given.
    """

    url: str
    key_env: str | None
    token_limit: str
    extra: Mapping[str, Scalar]
    price: Price | None


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of axis values, with the workload.

    Attributes:
        params: axis name to value; `engine`, `model`, `nodes`, `weights`, `workers` are always
        there, with the engine's own axes; `device`, `group`, `on` and links where the matrix names
        them.
        deadline_s: no process of a trial may live longer (the matrix's `deadline_s`).
        repeat: which trial of the cell, from 1; with `greedy` and `documents` each does another
            thing.
        endpoint: where it is asked, of an API; None on nodes.
    """

    params: Mapping[str, Scalar]
    workload: Workload
    deadline_s: float = 1800.0
    repeat: int = 1
    endpoint: Endpoint | None = None

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return str(self.params["engine"])

    @property
    def model(self) -> str:
        """Name of the model in the catalogue."""
        return str(self.params["model"])

    @property
    def nodes(self) -> int:
        """How many nodes take part; none of an API."""
        return int(self.params["nodes"])

    @property
    def weights(self) -> Weights:
        """Type of the weights: `f32`, `f16`, `q8_0`, `q4_0`."""
        return cast("Weights", self.params["weights"])

    @property
    def device(self) -> Device:
        """What computes: `cpu`, or `gpu` on each node that has one."""
        return cast("Device", self.params.get(DEVICE_AXIS.name, DEVICE_AXIS.default))

    @property
    def group(self) -> str:
        """The inventory's group that its nodes are from."""
        return str(self.params.get(GROUP_AXIS.name, GROUP_AXIS.default))

    @property
    def on(self) -> tuple[str, ...]:
        """The names of its nodes, root first; empty where it takes the first ones of its group."""
        written = str(self.params.get(ON_AXIS.name, FIRST))
        return () if written == FIRST else tuple(written.split(PLUS))

    @property
    def groups(self) -> tuple[int, int] | None:
        """How many deployments run at once, and the nodes of each; None for a single one."""
        written = str(self.params.get(GROUPS_AXIS.name, ""))
        number, _, size = written.partition("x")
        return (int(number), int(size)) if size else None

    @property
    def keeps_workers(self) -> bool:
        """Whether workers live on from one trial to the next."""
        return self.params["workers"] == "kept"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that a cell needs on a node.

    Attributes:
        node: where it runs.
        role: workers and a server are ready at some moment and then serve; the root, or the
            client that asks a server, does the work and ends by itself.
        argv: program and arguments; the program is an absolute path on the node.
        env: environment in addition to the unit's own.
        listen_port: TCP port on which it listens when it is ready, as the node itself
            sees it (never probed by a connection: that kills some engines).
        ready_line: part of a line that its log holds when it is ready. With a port, both must be.
        ready_s: how long it may take until then.
        gpu: the interface by which it uses its node's GPU; None for a process that sees no GPU.
    """

    node: Node
    role: Role
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    listen_port: int | None = None
    ready_line: str | None = None
    ready_s: float = 30.0
    gpu: Backend | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """The processes of one trial.

    Attributes:
        workers: started together, all ready before anything else starts.
        root: the process whose end is the end of the trial: an engine's root, or the client
            that asks its server.
        expected_samples: measured values that a whole log holds.
        deadline_s: neither root nor server may live longer, and workers not much; the node
            enforces it.
        server: started after the workers, ready before the root starts, on the root's node;
            restarted in every trial, even where workers are reused.
        scored: the document that it scores, if its workload has some.
    """

    workers: tuple[Process, ...]
    root: Process
    expected_samples: int
    deadline_s: float
    server: Process | None = None
    scored: ScoredRecord | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis that a matrix may name.

    Attributes:
        values: the values allowed; None for any that `kind` accepts.
        form: regular expression of words that are also allowed, and how a person writes them.
        default: the value of a cell that does not name the axis.
        born_as: the default with which the axis was added after runs had been made without it. A
            cell with that value keeps the id that it had before, also when `default` changes.
            None: no run was made without the axis, or its values were always part of ids.
        is_rare: cells have it only where the matrix names it.
        goes_with: the axis that brings it: cells have it where the matrix names that one, or it.
    """

    name: str
    kind: type
    default: Scalar
    values: tuple[Scalar, ...] | None = None
    form: tuple[str, str] | None = None
    born_as: Scalar | None = None
    is_rare: bool = False
    goes_with: str = ""


DEVICE_AXIS = Axis("device", str, default="cpu", values=("cpu", "gpu"), born_as="cpu")
GROUP_AXIS = Axis("group", str, default=CLUSTER, born_as=CLUSTER)
FIRST, EACH, EACH_ROOT = "first", "each", "each_root"
"""Words of the axis `on`: the first nodes of the group; each alone; all, with each as the root."""
PLUS = "+"
"""Between the names of nodes on the axis `on`."""
ON_AXIS = Axis(
    "on",
    str,
    default=FIRST,
    values=(FIRST, EACH, EACH_ROOT),
    form=(r"[^+]+(\+[^+]+)*", "names of nodes, root first, such as desk+pi1"),
    born_as=FIRST,
)
ARM_AXIS = Axis("arm", str, default="a", values=("a", "b"), born_as="a")
"""Which of two identical cells one is; a matrix does not name it, but says `noise: true`."""
GROUPS_AXIS = Axis(
    "groups",
    str,
    default="1x1",
    values=("1x1",),
    form=(GROUPS_FORM, "DEPLOYMENTSxNODES, such as 4x1"),
)
