"""APIs in OpenAI's form: they need no node; the client on this machine asks them.

Facts of the form: OpenAI's reference of chat completions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from collect.questions import Question
from collect.workloads import Questions
from core.errors import HerdError
from experiments.engines import chat_server as asking
from experiments.engines import common
from experiments.engines.base import Axis, Cell, Deployment, Endpoint, Process
from experiments.engines.engine import Engine
from experiments.fleet.cluster import CONTROLLER, Cluster
from models.memory import MemoryNeed

PATH = "/chat/completions"
RETRIES = "5"


class OpenAi(Engine):
    """Chat completions of any server that takes them, from this machine, end to end."""

    name = "openai"
    about = (
        "an API compatible with OpenAI's, asked from this machine; a matrix names it as a system"
    )
    page = "compare"
    workloads = ("questions",)
    axes = (Axis("answers", str, default="live", values=("live", "replayed")),)

    def check(self, cell: Cell, cluster: Cluster) -> str | None:  # noqa: ARG002 - the seam's signature
        """Why the cell cannot run: an API does nothing but answer."""
        if isinstance(cell.workload, Questions):
            return None
        return "an API only answers questions: use the workload `questions`"

    def memory(self, cell: Cell) -> MemoryNeed:  # noqa: ARG002 - the seam's signature
        """Nothing on any node."""
        return MemoryNeed(root_bytes=0, worker_bytes=0)

    def identity(self, cell: Cell, cluster: Cluster) -> Mapping[str, str]:  # noqa: ARG002 - likewise
        """Where it is asked, and in which form."""
        endpoint = endpoint_of(cell)
        form = json.dumps([endpoint.token_limit, sorted(endpoint.extra.items())])
        return {"url": endpoint.url, "form": hashlib.sha256(form.encode()).hexdigest()}

    def deploy(self, cell: Cell, cluster: Cluster) -> Deployment:  # noqa: ARG002 - likewise
        """The client, on this machine."""
        endpoint, workload = endpoint_of(cell), cell.workload
        if not isinstance(workload, Questions):
            raise HerdError(f"{cell.model}: an API only answers questions.")
        return Deployment(
            workers=(),
            root=Process(
                node=CONTROLLER,
                role="client",
                argv=(
                    asking.CLIENT,
                    *_options(cell, endpoint),
                    f"{endpoint.url}{PATH}",
                    f"{workload.silence_s:g}",
                    *asking.client_questions(
                        workload, lambda question: _body(cell, endpoint, workload, question)
                    ),
                ),
            ),
            expected_samples=common.expected_samples(cell),
            deadline_s=cell.deadline_s,
        )


def endpoint_of(cell: Cell) -> Endpoint:
    """Where a cell's API is.

    Raises:
        HerdError: the cell does not come from a system.
    """
    if cell.endpoint is None:
        raise HerdError(f"{cell.model} has no address: name it as a system.")
    return cell.endpoint


def is_replayed(cell: Cell) -> bool:
    """Whether answers are taken from those that were kept."""
    return cell.params["answers"] == "replayed"


def _options(cell: Cell, endpoint: Endpoint) -> tuple[str, ...]:
    if is_replayed(cell):
        return ("--with-parent", "--replay")
    key = ("--key-env", endpoint.key_env) if endpoint.key_env else ()
    return ("--with-parent", "--keep", "--retries", RETRIES, *key)


def _body(
    cell: Cell, endpoint: Endpoint, workload: Questions, question: Question
) -> dict[str, Any]:
    """What is sent, without what is no part of the form: OpenAI refuses what it does not know."""
    body = asking.body(workload, question)
    del body["cache_prompt"]
    limit = body.pop("max_tokens")
    return {"model": cell.model, **body, endpoint.token_limit: limit, **endpoint.extra}


ENGINE = OpenAi()
