"""Compares `llama-server` with the reference by the probability of each token.

Its own `/completion` gives with `n_probs` the logarithm of the probability of each token before
samplers change anything. A text is scored with one question a token, which forces the text's next
token by a bias that the probability does not contain (upstream's `tools/server` at 0.7.0).
"""

from __future__ import annotations

import json
from typing import Any

from collect.workloads import Documents, Greedy
from core.foreign import one_line
from experiments.engines import chat_server as asking
from experiments.engines import common
from experiments.engines.base import Cell, Deployment, Process

URL = f"http://{asking.HOST}:{asking.PORT}/completion"
_FORCED = 1000
"""A bias that outweighs every logit."""
MOST_TOKENS = 700
"""Each question repeats the tokens before it, and a node takes two megabytes of arguments."""


def scoring_deployment(cell: Cell, workers: tuple[Process, ...], server: Process) -> Deployment:
    """Workers, server and client of a trial: a prompt to continue, or the text to score."""
    bodies = _bodies(cell)
    questions = [
        json.dumps({"id": number, "body": body}, separators=(",", ":"))
        for number, body in enumerate(bodies, start=1)
    ]
    argv = (asking.CLIENT, URL, f"{cell.deadline_s:g}", *questions)
    return Deployment(
        workers=workers,
        server=server,
        root=Process(node=server.node, role="client", argv=argv),
        expected_samples=sum(body["n_predict"] for body in bodies),
        deadline_s=cell.deadline_s,
        scored=common.scored_record(cell),
    )


def unscorable(cell: Cell) -> str | None:
    """Why a document cannot be scored, one sentence; None if all can."""
    if not isinstance(cell.workload, Documents):
        return None
    # A stream has no event for a token that ends within a character.
    if other := next((one for one in cell.workload.scored if not one.text.isascii()), None):
        return (
            f"llama.cpp scores only documents in ASCII, and {one_line(other.name, 60)} has other "
            "characters: name llama.cpp in the matrix, and these are left out"
        )
    tokens = common.tokens(cell)
    if tokens <= MOST_TOKENS:
        return None
    return (
        f"llama.cpp scores a document with one question a token, at most {MOST_TOKENS}, but one "
        f"has {tokens}: request fewer `characters` of each in the matrix"
    )


def _bodies(cell: Cell) -> list[dict[str, Any]]:
    # Engines go on in different ways after a sign between texts, but all of them go on.
    usual = {"temperature": 0, "n_probs": 1, "ignore_eos": True, "stream": True}
    text = common.scored_text(cell)
    if text is None:
        assert isinstance(cell.workload, Greedy)  # noqa: S101 - no other one has a server to ask
        prompt, count = cell.workload.prompts[cell.repeat - 1], common.expected_samples(cell)
        return [{"prompt": prompt, "n_predict": count, "cache_prompt": False, **usual}]
    ids = common.scored_ids(cell, text)
    return [
        {
            "prompt": ids[:end],
            "n_predict": 1,
            "cache_prompt": True,
            "logit_bias": [[ids[end], _FORCED]],
            **usual,
        }
        for end in range(1, len(ids))
    ]
