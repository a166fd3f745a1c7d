"""How long a server worked on a step, reported by itself with its answer.

Upstream reports no times, and a client alone sees only how long it waits: for the server, for the
network, and for the packing on both sides. An answer has room for metadata, which upstream leaves
empty; the client's Petals takes no notice of it.
"""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from typing import Any

KEY = "computing_ms"
_computing_ms: ContextVar[float] = ContextVar(KEY)


def tell_times() -> None:
    """Make a server report its times; call this before creating it.

    The time is from having the message of a step, from any sender, until the answer is
    packed: unpacking, the queue before the blocks, the blocks.
    """
    upstream: Any = importlib.import_module("petals.server.handler")
    serializer = importlib.import_module("hivemind.utils.serializer").MSGPackSerializer
    iterate = upstream.iterate_rpc_inference
    answer = upstream.TransformerConnectionHandler.rpc_inference

    async def timed_iterate(
        *, input_iterator: AsyncIterator[object], **others: object
    ) -> AsyncIterator[object]:
        begun = 0.0

        async def noted() -> AsyncIterator[object]:
            nonlocal begun
            async for message in input_iterator:
                begun = time.perf_counter()
                yield message

        async for outputs in iterate(input_iterator=noted(), **others):
            _computing_ms.set((time.perf_counter() - begun) * 1000)
            yield outputs

    @functools.wraps(answer)  # its annotations say that requests are a stream
    async def telling(handler: object, requests: object, context: object) -> AsyncIterator[Any]:
        async for response in answer(handler, requests, context):
            response.metadata = serializer.dumps({KEY: _computing_ms.get()})
            yield response

    upstream.iterate_rpc_inference = timed_iterate
    upstream.TransformerConnectionHandler.rpc_inference = telling


def hear_times(heard: Callable[[object, float], None]) -> None:
    """Make a client record what servers report: their session, and ms of the step."""
    upstream = importlib.import_module("petals.client.inference_session")
    session = upstream._ServerInferenceSession  # noqa: SLF001 - it has no other name
    serializer = importlib.import_module("hivemind.utils.serializer").MSGPackSerializer
    step = session._step  # noqa: SLF001

    async def hearing(one: object, request: object) -> object:
        response: Any = await step(one, request)
        told: Mapping[str, float] = serializer.loads(response.metadata)
        heard(one, told[KEY])
        return response

    session._step = hearing  # noqa: SLF001
