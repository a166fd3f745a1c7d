"""Compares `llama-server` with the reference by the probability of each token.

Its own `/completion` gives with `n_probs` the logarithm of the probability of each token before
samplers change anything. A text is scored with one question a token, which forces the text's next
token by a bias that the probability does not contain (upstream's `tools/server` at 0.7.0).
"""

from __future__ import annotations

import json
from typing import Any

from collect.run import Greedy
from experiments.engines import chat_server as asking
from experiments.engines import common
from experiments.engines.base import Cell, Deployment, Process

URL = f"http://{asking.HOST}:{asking.PORT}/completion"
_FORCED = 1000
"""A bias that outweighs every logit."""


def scoring_deployment(
    cell: Cell, workload: Greedy, workers: tuple[Process, ...], server: Process
) -> Deployment:
    """Workers, server and client of a trial: a prompt to continue, or the text to score."""
    bodies = _bodies(cell, workload)
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
    )


def _bodies(cell: Cell, workload: Greedy) -> list[dict[str, Any]]:
    # Engines go on in different ways after a sign between texts, but all of them go on.
    usual = {"temperature": 0, "n_probs": 1, "ignore_eos": True, "stream": True}
    prompt = workload.prompt(cell.repeat)
    if prompt is not None:
        count = common.expected_samples(cell)
        return [{"prompt": prompt, "n_predict": count, "cache_prompt": False, **usual}]
    ids = common.encoder(cell.model).encode(workload.text)
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
