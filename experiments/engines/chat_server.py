"""Questions to an engine that serves: its server on the root's node, and the client that asks it.

What is sent is OpenAI's chat completion, as a stream. Servers listen on the loopback address of
the node alone: they know no password.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from collect.questions import Question
from collect.workloads import Questions
from experiments.engines.base import Cell, Deployment, Process
from experiments.fleet.cluster import Node
from models.catalogue import ModelSpec

HOST = "127.0.0.1"
PORT = 9980
CLIENT = "/usr/local/libexec/llama-herd/herd-ask"
TEMPLATE_TOKENS = 64
"""More than any template adds to a question."""


def unaskable(cell: Cell, spec: ModelSpec, forms: Collection[str] | None = None) -> str | None:
    """Why questions cannot be put to the model, one sentence; None if they can.

    Args:
        cell: what is to be measured.
        spec: its model.
        forms: of conversations that the engine can write out; None for any form.
    """
    workload = cell.workload
    if not isinstance(workload, Questions) or workload.chat_template != "model":
        return None
    if spec.chat is None:
        return (
            f"{cell.model} has no chat template: name one in the matrix "
            "(`chat_template: llama2`), or ask a model that has one"
        )
    if forms is not None and spec.chat not in forms:
        return (
            f"{cell.engine} cannot format a conversation as {cell.model} was trained on "
            f"({spec.chat}), only {', '.join(forms)}: ask another model, or name a form in the "
            "matrix (`chat_template: llama2`)"
        )
    return None


def longest_tokens(workload: Questions) -> int:
    """Room in the context that any question with its answer is sure to find enough, in tokens.

    No token is shorter than a byte; a template adds some dozens.
    """
    return max(most_prompt_tokens(workload, q) for q in workload.asked) + workload.max_tokens


def most_prompt_tokens(workload: Questions, question: Question) -> int:
    """Return an upper bound for the tokens of a question with its system prompt."""
    return most_tokens(question.text, workload.system or "")


def most_tokens(*texts: str) -> int:
    """Tokens that texts, sent as a conversation, cannot exceed: none is shorter than a byte."""
    return sum(len(text.encode()) for text in texts) + TEMPLATE_TOKENS


def chat_deployment(
    cell: Cell,
    workload: Questions,
    workers: tuple[Process, ...],
    server: Process,
) -> Deployment:
    """Workers, server and client of a trial that asks all questions once."""
    return Deployment(
        workers=workers,
        server=server,
        root=Process(node=server.node, role="client", argv=_client_argv(workload)),
        expected_samples=len(workload.asked),
        deadline_s=cell.deadline_s,
    )


def server_process(
    cell: Cell,
    root: Node,
    argv: tuple[str, ...],
    serves: str,
    env: Mapping[str, str] = MappingProxyType({}),
) -> Process:
    """The server of a cell.

    Args:
        cell: what is measured.
        root: where it runs.
        argv: its command line, which names `HOST` and `PORT`.
        serves: part of the line of its log that says that it takes questions.
        env: its environment.
    """
    return Process(
        node=root,
        role="server",
        argv=argv,
        env=env,
        listen_port=PORT,
        ready_line=serves,
        ready_s=cell.deadline_s,
    )


def _client_argv(workload: Questions) -> tuple[str, ...]:
    url = f"http://{HOST}:{PORT}/v1/chat/completions"
    questions = client_questions(workload, lambda question: body(workload, question))
    return (CLIENT, url, f"{workload.silence_s:g}", *questions)


def client_questions(
    workload: Questions, body_of: Callable[[Question], Mapping[str, Any]]
) -> tuple[str, ...]:
    """The questions as the client takes them on its command line."""
    return tuple(
        json.dumps({"id": question.id, "body": body_of(question)}, ensure_ascii=False)
        for question in workload.asked
    )


def body(workload: Questions, question: Question) -> dict[str, Any]:
    """What is sent; servers ignore what they do not know."""
    told = [{"role": "system", "content": workload.system}] if workload.system else []
    return {
        "messages": [*told, {"role": "user", "content": question.text}],
        "max_tokens": workload.max_tokens,
        "temperature": workload.temperature,
        "seed": workload.seed,
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_prompt": False,
    }
