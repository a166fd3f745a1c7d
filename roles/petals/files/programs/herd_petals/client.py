"""Asks a private swarm, and prints what it measured: a JSON object a line.

    petals-client COMMON benchmark --prompt-tokens 32 --generate 64
    petals-client COMMON continue --prompt TEXT --positions 72
    petals-client COMMON perplexity --prompt TEXT

COMMON: --model FOLDER --swarm NAME --first 10.0.0.4:9995 --threads 4 [--adapter BASE64]…, which
are trained prompts (`prompts.py`). Records, by `event`:

    adapter     sha256: of the prompts as they were read, prompts: positions; where there are some
    swarm       servers: [[name, first block, block after the last], …]
    step        phase (`evaluation`, `prediction`), tokens read, token and text that follow,
                total_ms, chain_ms, servers_ms and computing_ms {name: ms}; log_probability with
                `continue`
    perplexity  value, total_ms, scores: each token's log probability but the first's

The token that follows the prompt comes out of reading it. At an error: a line on standard error.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict
from typing import Any

from herd_petals.ending import end, end_by_sigint, fail
from herd_petals.prompts import PromptsError, add_prompts_argument, given_prompts
from herd_petals.swarm import Swarm, SwarmError, add_arguments, swarm_of


def main() -> None:
    """Do what is asked."""
    arguments = _arguments()
    end_by_sigint()
    try:
        told = given_prompts(arguments.adapter)
        if told is not None:
            tell("adapter", sha256=told.sha256, prompts=told.count)
        swarm = swarm_of(arguments, told)
        tell("swarm", servers=swarm.await_whole())
        if arguments.workload == "benchmark":
            benchmark(swarm, arguments.prompt_tokens, arguments.generate)
        elif arguments.workload == "continue":
            continue_text(swarm, arguments.prompt, arguments.positions)
        else:
            perplexity(swarm, arguments.prompt)
    except (SwarmError, PromptsError) as error:
        fail(error)
    end(0)


def tell(event: str, **fields: Any) -> None:  # noqa: ANN401 - what JSON can hold
    """Print a record."""
    sys.stdout.write(json.dumps({"event": event, **fields}, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def benchmark(swarm: Swarm, prompt_tokens: int, generate: int) -> None:
    """Read a prompt of the word `the`, then generate so many tokens, always the likeliest.

    Raises:
        SwarmError: a server did not answer.
    """
    *begin, word = encode(swarm, "the")
    begin = begin[:1]
    ids = [*begin, *[word] * (prompt_tokens - len(begin))]
    generate_text(swarm, ids, generate, scored=False)


def continue_text(swarm: Swarm, prompt: str, positions: int) -> None:
    """Continue a prompt until so many tokens were read, always by the likeliest token.

    Raises:
        SwarmError: a server did not answer.
    """
    ids = encode(swarm, prompt)
    generate_text(swarm, ids, positions - len(ids) + 1, scored=True)


def generate_text(swarm: Swarm, ids: list[int], count: int, *, scored: bool) -> None:
    """Print a record of each step; the token that follows the prompt comes out of reading it.

    Raises:
        SwarmError: a server did not answer.
    """
    phase, sent = "evaluation", list(ids)
    told = len(swarm.tokenizer.decode(ids))
    scores: list[float] = []

    def likeliest(logits: Any) -> int:  # noqa: ANN401 - torch has no types here
        token = int(logits.argmax())
        if scored:
            scores.append(float(logits.double().log_softmax(-1)[token]))
        return token

    with swarm.session(len(ids) + count - 1):  # the last token is sent nowhere
        for _ in range(count):
            step = swarm.step(sent, likeliest)
            ids.append(step.token)
            text = swarm.tokenizer.decode(ids)
            score = {"log_probability": scores[-1]} if scored else {}
            tell("step", phase=phase, tokens=len(sent), text=text[told:], **asdict(step), **score)
            phase, sent, told = "prediction", [step.token], len(text)


def perplexity(swarm: Swarm, text: str) -> None:
    """How well the model predicts a text that fits into its context.

    Raises:
        SwarmError: it does not fit, or a server did not answer.
    """
    ids = encode(swarm, text)
    if len(ids) > swarm.context:
        raise SwarmError(
            f"the text has {len(ids)} tokens and the model has room for {swarm.context}: "
            "give fewer `characters`"
        )
    begun = time.perf_counter()
    scores = swarm.log_probabilities(ids)
    total_ms = (time.perf_counter() - begun) * 1000
    value = math.exp(-math.fsum(scores) / len(scores))
    tell("perplexity", value=value, total_ms=total_ms, scores=scores)


def encode(swarm: Swarm, text: str) -> list[int]:
    """The tokens of a text, with the beginning-of-sequence where the model has one."""
    return list(swarm.tokenizer(text)["input_ids"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    add_prompts_argument(parser)
    workloads = parser.add_subparsers(dest="workload", required=True)
    speed = workloads.add_parser("benchmark")
    speed.add_argument("--prompt-tokens", type=int, required=True)
    speed.add_argument("--generate", type=int, required=True)
    text = workloads.add_parser("continue")
    text.add_argument("--prompt", required=True)
    text.add_argument("--positions", type=int, required=True)
    quality = workloads.add_parser("perplexity")
    quality.add_argument("--prompt", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
