"""Which names can be distinguished from the words that records and logs use themselves."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from collect.attempt import AttemptRecord, NodeReading, NodeRecord, ProcessRecord
from collect.cells import CellRecord, TrialRecord
from collect.run import RunManifest
from collect.sharing.patterns import GENERIC
from collect.workloads import WORKLOADS
from core.errors import HerdError

SHORTEST = 3
"""Letters of a name that can be distinguished from ordinary words."""
RECORDS: tuple[type[BaseModel], ...] = (
    RunManifest, CellRecord, TrialRecord, AttemptRecord, ProcessRecord, NodeRecord, NodeReading,
    *WORKLOADS,
)  # fmt: skip
WORDS_OF_LOGS = frozenset(
    [
        "root",
        "worker",
        "server",
        "client",
        "node",
        "cpu",
        "gpu",
        "done",
        "failed",
        "invalid",
        "benchmark",
        "questions",
        "greedy",
        "documents",
        "perplexity",
        "engine",
        "model",
        "system",
        "device",
        "group",
        "part",
        "workers",
        "shares",
        "spans",
        "weights",
        "threads",
        "context",
        "fresh",
        "kept",
    ]
) | {name for record in RECORDS for name in record.model_fields}
"""Words that records and logs use themselves, so no name can be found by them."""


def require_nameable(nodes: Iterable[str]) -> None:
    """Check that names of nodes can be distinguished from ordinary words.

    Raises:
        HerdError: one cannot.
    """
    for name in nodes:
        if len(name) < SHORTEST or name.casefold() in WORDS_OF_LOGS:
            raise HerdError(
                f"The node {name}: logs use this word, too, so it cannot be replaced everywhere. "
                "Give --with-names, or measure again with another name in the inventory."
            )


def hidden_words(words: Iterable[str]) -> list[str]:
    """The words that a user wants to have replaced, each once.

    Raises:
        HerdError: one cannot be distinguished from ordinary words.
    """
    told = {word.strip().casefold(): word.strip() for word in words}
    for word in told.values():
        if len(word) < SHORTEST or word.casefold() in WORDS_OF_LOGS:
            raise HerdError(
                f"--hide {word or '(nothing)'}: give a word of {SHORTEST} letters or more that "
                "records and logs do not use themselves."
            )
    return list(told.values())


def is_generic(name: str) -> bool:
    """Whether many machines and users have this name."""
    return len(name) < SHORTEST or name.casefold() in GENERIC | WORDS_OF_LOGS
