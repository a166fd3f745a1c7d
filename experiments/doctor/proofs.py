"""Proves that engines compute on a node's GPU: in units with their rights, by the node's helper.

Versions of drivers and libraries do not show that. So each engine that was installed for a GPU has
a small program compute on it, and PyTorch multiplies in Petals' own environment. That needs a node
that is provisioned, and no runner that measures on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from core.errors import HerdError
from core.foreign import one_line
from core.paths import ENGINES_FOLDER
from experiments.doctor.finding import Proof
from experiments.fleet.cluster import Backend, Installation, Node
from experiments.nodes.gpus import gpus_of
from experiments.nodes.launcher import Conversation, Launcher, Request, ask

TORCH_S = 300
"""Importing PyTorch and Petals from an SD card, and one multiplication."""
OWN_S = 30.0
ENVIRONMENT = "petals"
UNIT = "herd-doctor-torch"


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
    installed = {engine: Installation(engine, installed=True, gpu=backend)}
    gpu = gpus_of(conversation.node, installed, conversation)[backend]
    if gpu.reason is not None:
        return Proof(engine, backend, reason=f"{gpu.reason}.")
    return Proof(engine, backend, one_line(gpu.name, 100), gpu.is_software)


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
