"""Proves that engines compute on a node's GPU: in units with their rights, by the node's helper.

Versions of drivers and libraries do not show that. So each engine that was installed for a GPU has
a small program compute on it, and PyTorch multiplies in Petals' own environment. That needs a node
that is provisioned, and no runner that measures on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict

from core.errors import HerdError
from core.foreign import one_line
from core.paths import ENGINES_FOLDER
from experiments.doctor.finding import Proof
from experiments.fleet.cluster import Backend, GpuKind, Node
from experiments.nodes.launcher import Conversation, Launcher, Request, ask
from experiments.nodes.told import Words, read_told

ANSWER_S = 40.0
"""The helper itself gives up after 20 s."""
TORCH_S = 300
"""Importing PyTorch and Petals from an SD card, and one multiplication."""
OWN_S = 30.0
ENVIRONMENT = "petals"
UNIT = "herd-doctor-torch"


class _Device(BaseModel):
    model_config = ConfigDict(extra="ignore")

    index: int
    name: Words
    kind: GpuKind


class _Told(BaseModel):
    model_config = ConfigDict(extra="ignore")

    devices: list[_Device] = []
    proof: bool
    reason: Words | None = None


def prove(node: Node, engines: Mapping[str, Backend], launcher: Launcher) -> list[Proof]:
    """Have each engine of a node prove that it computes on the GPU.

    Args:
        node: provisioned.
        engines: engine name to the interface by which it was installed for a GPU.
        launcher: reaches the node.
    """
    if not engines:
        return []
    try:
        conversation = launcher.open(node)
    except HerdError as error:
        return [Proof(name, engines[name], reason=str(error)) for name in engines]
    try:
        return [
            proof
            for name, backend in engines.items()
            for proof in _of_engine(conversation, name, backend)
        ]
    finally:
        conversation.close(0.0)


def _of_engine(conversation: Conversation, engine: str, backend: Backend) -> Iterator[Proof]:
    try:
        proof = _by_driver(conversation, engine, backend)
    except HerdError as error:
        proof = Proof(engine, backend, reason=str(error))
    yield proof
    if engine == ENVIRONMENT and not proof.reason:
        what = f"PyTorch of {engine}"
        try:
            yield Proof(what, backend, device=_by_torch(conversation))
        except HerdError as error:
            yield Proof(what, backend, reason=str(error))


def _by_driver(conversation: Conversation, engine: str, backend: Backend) -> Proof:
    """What the helper's small program did in a unit of that engine."""
    node = conversation.node
    index = str(node.gpu_index)
    reply = ask(conversation, Request("gpu", (("engine", engine), ("gpu_index", index))), ANSWER_S)
    told = read_told(node.name, "what its GPU can do", reply.text("gpu"), _Told)
    chosen = next((one for one in told.devices if one.index == node.gpu_index), None)
    if not told.proof or chosen is None:
        why = one_line(told.reason or f"There is no GPU {index}.")
        return Proof(engine, backend, reason=why)
    return Proof(engine, backend, one_line(chosen.name, 100), chosen.kind == "software")


def _by_torch(conversation: Conversation) -> str:
    """Name of the GPU on which PyTorch multiplied, in a unit as a server's.

    Raises:
        HerdError: it did not, or another runner has the node.
    """
    node = conversation.node
    ask(conversation, Request("own", (("who", "the doctor"),)), OWN_S)
    program = f"{ENGINES_FOLDER}/{ENVIRONMENT}/bin/petals-check"
    fields = (
        *(("unit", UNIT), ("deadline", str(TORCH_S))),
        *(("gpu", "cuda"), ("gpu_index", str(node.gpu_index))),
        *(("arg", word) for word in (program, "--device", "cuda")),
    )
    reply = ask(conversation, Request("run", fields), TORCH_S + OWN_S)
    last = one_line(reply.text("out").rpartition("\n")[2])
    if reply.state.exit_code != 0:
        why = one_line(reply.text("err").rpartition("\n")[2]) or last or str(reply.state.result)
        raise HerdError(f"Running petals-check on {node.name}: {why}")
    return last.rpartition(", ")[2]
