"""Asks a node what the GPU of its engines is like, and whether it computes; one request each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.foreign import Count, one_line
from core.record import Scalar
from experiments.fleet.cluster import Backend, Gpu, GpuKind, Installation, Node
from experiments.nodes.launcher import Conversation, Request, expect
from experiments.nodes.told import Words, first_of

ANSWER_S = 30.0
"""The helper gives a driver less time than that."""
MOST_DEVICES = 64
LONGEST_NAME = 200
GPU_FACT = re.compile("^[^ ]+ GPU( |$)")
"""Names of facts that `gpu_facts` gives; what others report has no space in its name."""


class _Device(BaseModel):
    """A GPU that a driver shows."""

    model_config = ConfigDict(extra="ignore")

    index: Annotated[int, Field(strict=True, ge=0, lt=MOST_DEVICES)]
    name: Words
    kind: GpuKind
    memory_mib: Count
    free_mib: Count
    driver: Words


class _Answer(BaseModel):
    """What `herd-gpu` prints."""

    model_config = ConfigDict(extra="ignore")

    backend: Backend
    devices: Annotated[list[_Device], Field(max_length=MOST_DEVICES)]
    proof: Annotated[bool, Field(strict=True)]
    reason: Words | None = None


def gpus_of(
    node: Node, engines: Mapping[str, Installation], conversation: Conversation
) -> dict[Backend, Gpu]:
    """The GPU behind each interface that an engine on a node was built for.

    A GPU that cannot be used has the reason, no matter what the node answers.

    Raises:
        NodeLostError: the node does not answer.
    """
    by_backend = {one.gpu: name for name, one in engines.items() if one.gpu is not None}
    return {
        backend: _asked(node, backend, engine, conversation)
        for backend, engine in by_backend.items()
    }


def gpu_facts(
    engines: Mapping[str, Installation], gpus: Mapping[Backend, Gpu]
) -> dict[str, Scalar | None]:
    """Facts of GPUs that work: by which interface engines use which GPU, with which driver."""
    found: dict[str, Scalar | None] = {}
    for name, one in engines.items():
        if one.gpu is not None:
            found[f"{name} GPU interface"] = one.gpu
    for backend, gpu in gpus.items():
        if gpu.reason is None:
            found |= {
                f"{backend} GPU": gpu.name,
                f"{backend} GPU driver": gpu.driver,
                f"{backend} GPU kind": gpu.kind,
                f"{backend} GPU memory_mib": gpu.memory_mib,
            }
    return found


def _asked(node: Node, backend: Backend, engine: str, conversation: Conversation) -> Gpu:
    conversation.send(Request("gpu", (("engine", engine), ("gpu_index", str(node.gpu_index)))))
    reply = expect(conversation, "try its GPU", ANSWER_S)
    if not reply.ok:
        return _broken(node, backend, reply.why() or "the node does not say why")
    try:
        answer = _Answer.model_validate_json(reply.text("gpu"))
    except ValidationError as error:
        return _broken(node, backend, f"what it says about itself is damaged ({first_of(error)})")
    if answer.backend != backend:
        return _broken(node, backend, f"it was tried with {answer.backend} instead of {backend}")
    return _chosen(node, answer)


def _chosen(node: Node, answer: _Answer) -> Gpu:
    """The GPU that the inventory names, of those that the driver shows."""
    one = next((one for one in answer.devices if one.index == node.gpu_index), None)
    if one is None:
        number = f" with the number {node.gpu_index}" if answer.devices else ""
        return _broken(
            node, answer.backend, answer.reason or f"{answer.backend} shows no GPU{number}"
        )
    reason = None if answer.proof else answer.reason or "it computes nothing, for an unknown reason"
    return Gpu(
        backend=answer.backend,
        index=one.index,
        name=one_line(one.name, LONGEST_NAME),
        kind=one.kind,
        memory_mib=one.memory_mib,
        free_mib=one.free_mib,
        driver=one_line(one.driver, LONGEST_NAME),
        reason=None if reason is None else one_line(reason).rstrip("."),
    )


def _broken(node: Node, backend: Backend, reason: str) -> Gpu:
    return Gpu(backend, node.gpu_index, "", "other", 0, 0, "", one_line(reason).rstrip("."))
