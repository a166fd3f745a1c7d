"""The one seam to engines: an engine states facts, answers questions and does nothing itself.

Everything with side effects (SSH, units, clocks, deadlines, cleaning up, fetching) is the
runner's, written once for all engines. docs/adding-an-engine.md leads through a whole example.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from collect.parsers.parser import slug_of
from core.record import Scalar
from experiments.engines import chat_server as asking
from experiments.engines import common
from experiments.engines.base import Axis, Cell, Deployment
from experiments.engines.gpu_checks import gpu_missing, other_device
from experiments.fleet.cluster import Backend, Cluster, Installation, Node
from models.build import WEIGHTS_OF_FORMAT, Format, artifact_file_names, not_published
from models.catalogue import ModelSpec
from models.limits import MOST_NODES
from models.memory import MemoryNeed, NodeMemory
from models.shape import Weights, stored_as


class Engine(ABC):
    """What all engines state and answer, those on nodes and APIs.

    Attributes:
        name: as a matrix writes it.
        about: what it is, one phrase for docs and help.
        page: its page, `docs/<page>.md`; by default its name with `-`.
        axes: the axes that it has in addition to those of all engines.
        workloads: kinds of workloads that it has; cells with another one are refused.
        scores_only_ascii: whether it scores no document with other characters.
        devices: what it can compute on; cells with another `device` are refused.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    page: ClassVar[str] = ""
    axes: ClassVar[tuple[Axis, ...]] = ()
    workloads: ClassVar[tuple[str, ...]]
    scores_only_ascii: ClassVar[bool] = False
    devices: ClassVar[tuple[str, ...]] = ("cpu",)

    @property
    def slug(self) -> str:
        """Its name as modules, roles and tags have it: `llama_cpp`."""
        return slug_of(self.name)

    @abstractmethod
    def check(self, cell: Cell, cluster: Cluster) -> str | None:
        """Why the cell cannot run on that cluster, one sentence; None if it can.

        Fetches nothing, asks no node and writes no file: a sentence names the command that does.
        """

    @abstractmethod
    def identity(self, cell: Cell, cluster: Cluster) -> Mapping[str, str]:
        """Hashes that make the cell what it is: of the binaries and of the model's files."""

    @abstractmethod
    def memory(self, cell: Cell) -> MemoryNeed:
        """What its processes need for themselves on the root and on each other node."""

    @abstractmethod
    def deploy(self, cell: Cell, cluster: Cluster) -> Deployment:
        """The processes for a cell that `check` let pass."""

    def live_rate(self, tail: str) -> float | None:  # noqa: ARG002 - for engines that report it
        """Tokens per second, read from the end of the root's log; None if it holds none yet."""
        return None

    def other_workload(self, cell: Cell) -> str | None:
        """That it does not have the cell's workload, one sentence; None if it has."""
        kind = cell.workload.kind
        if kind in self.workloads:
            return None
        return f"{self.name} has no workload {kind}, only {', '.join(self.workloads)}"


class NodeEngine(Engine):
    """An engine that is installed on nodes.

    The role `roles/<slug>/` installs it, the parser `collect/parsers/<slug>.py` reads its logs.

    Attributes:
        format: of the model files that it loads.
        ports: TCP ports on which its workers listen, such as `9990-9999`; the firewall opens them
            to the cluster's nodes alone. Ranges of two engines are equal or do not overlap.
        options: options with a value that its programs are started with; a node's helper refuses
            all others.
        flags: the same for options without a value.
        texts: the same for options whose value is a text, which may hold anything.
        reads_model_on_every_node: whether each node reads the model's files; else the root does,
            and hands out the parts.
        chat_forms: forms of conversations that its server can write out; None for any form.
        wish: variable that must be true for a node to get it; None if every node gets it.
        herd_gpu: values of the inventory variable `herd_gpu` with which it uses a node's GPU.
        made_weights: types of weights that it makes while it loads a model, from what its files
            have.
        is_default: whether a matrix that names no engine means this one.
    """

    format: ClassVar[Format]
    ports: ClassVar[tuple[str, ...]]
    options: ClassVar[tuple[str, ...]]
    flags: ClassVar[tuple[str, ...]] = ()
    texts: ClassVar[tuple[str, ...]] = ()
    reads_model_on_every_node: ClassVar[bool] = False
    chat_forms: ClassVar[tuple[str, ...] | None] = None
    wish: ClassVar[str | None] = None
    herd_gpu: ClassVar[tuple[Backend, ...]] = ("vulkan", "cuda")
    made_weights: ClassVar[tuple[Weights, ...]] = ()
    is_default: ClassVar[bool] = False

    def check(self, cell: Cell, cluster: Cluster) -> str | None:
        """Why the cell cannot run: what can never be first, then what is missing."""
        spec = common.model_spec(cell.model)
        return (
            self.other_workload(cell)
            or other_device(cell, self)
            or self._other_weights(cell)
            or not_published(spec, self.format, stored_as(cell.weights))
            or common.too_few_nodes(cell, cluster)
            or self.limits(cell, cluster)
            or asking.unaskable(cell, spec, self.chat_forms)
            or common.beyond_context(cell, self.tokens(cell), self.context(cell))
            or self._missing(cell, cluster)
            or self._outdated(cell, cluster)
            or (
                common.absent_elsewhere(cell, cluster, self.files(cell))
                if self.reads_model_on_every_node
                else None
            )
            or common.unreadable(cell)
        )

    def _missing(self, cell: Cell, cluster: Cluster) -> str | None:
        """What a cluster with enough nodes lacks, one sentence; None if nothing."""
        needs = self.memory_on(cell, common.taking_part(cell, cluster))
        less = self.less_memory(cell)
        return common.missing(cell, cluster, needs, self.files(cell), less) or gpu_missing(
            cell, cluster, self, needs, less
        )

    def withheld(self, installation: Installation) -> list[str]:
        """Options that this engine is started with and a node's record of it does not allow."""
        if installation.arguments is None:
            return []
        return sorted({*self.options, *self.flags, *self.texts} - installation.arguments)

    def _outdated(self, cell: Cell, cluster: Cluster) -> str | None:
        """Which node would refuse to start it, one sentence; None if none would."""
        for node in common.taking_part(cell, cluster):
            installation = node.engines.get(self.name)
            withheld = self.withheld(installation) if installation and not node.away else []
            if withheld:
                more = f" and {len(withheld) - 1} more" if withheld[1:] else ""
                return (
                    f"another version of llama-herd installed {self.name} on {node.name}, and its "
                    f"record there does not allow the options {withheld[0]}{more}"
                )
        return None

    def identity(self, cell: Cell, cluster: Cluster) -> Mapping[str, str]:
        """Hashes of the programs on the nodes and of the model's files."""
        return common.identity(cell, common.taking_part(cell, cluster), self.files(cell))

    def limits(self, cell: Cell, cluster: Cluster) -> str | None:  # noqa: ARG002 - for engines that have some
        """Return which engine limit the cell exceeds, one sentence; None if none."""
        return None

    def node_counts(self, spec: ModelSpec, weights: Weights) -> Sequence[int]:  # noqa: ARG002 - likewise
        """The numbers of nodes that can share a model."""
        return range(1, MOST_NODES + 1)

    def candidates(self, cell: Cell, nodes: Sequence[Node]) -> Mapping[str, Sequence[Scalar]]:  # noqa: ARG002 - likewise
        """The values of its axes that may make a cell faster on its nodes, by axis.

        `fab tune` tries them, and the default of each axis.
        """
        return {}

    def tokens(self, cell: Cell) -> int:
        """Tokens of the longest sequence that a cell puts into the context; 0 if unknown yet."""
        return common.tokens(cell)

    def context(self, cell: Cell) -> int:
        """Tokens that there is room for."""
        return common.model_spec(cell.model).shape.context

    def files(self, cell: Cell) -> tuple[str, ...]:
        """The model's files on a node, absolute paths."""
        spec = common.model_spec(cell.model)
        stored = stored_as(cell.weights)
        return tuple(artifact_file_names(spec, self.format, stored).values())

    def memory_on(self, cell: Cell, nodes: Sequence[Node]) -> tuple[NodeMemory, ...]:
        """What its processes need on each node of a cell, root first.

        By default all nodes but the root need the same, and of a GPU's memory as much as a worker
        needs of a node's.
        """
        need = self.memory(cell)
        return tuple(
            NodeMemory(need.of(index), need.worker_bytes if common.gpu_of(cell, node) else 0)
            for index, node in enumerate(nodes)
        )

    def less_memory(self, cell: Cell) -> str:  # noqa: ARG002 - likewise
        """How a cell that has too little memory would need less; "" if it cannot."""
        return ""

    def _other_weights(self, cell: Cell) -> str | None:
        known = (*WEIGHTS_OF_FORMAT[self.format], *self.made_weights)
        if cell.weights in known:
            return None
        return f"{self.name} has no {cell.weights} weights, only {', '.join(known)}"
