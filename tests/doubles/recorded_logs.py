"""Recorded logs of distributed-llama, parsed."""

from __future__ import annotations

from pathlib import Path

from collect.attempt import Role
from collect.parsers.distributed_llama import ParsedLog, parse_log

DATA = Path(__file__).parents[1] / "data" / "distributed-llama"


def parsed(case: str, name: str = "root") -> ParsedLog:
    """The log of a recorded case: of its root, or of the worker of that name."""
    folder = DATA / case
    err = folder / f"{name}.err"
    role: Role = "root" if name == "root" else "worker"
    with (folder / f"{name}.out").open("rb") as stream:
        return parse_log(stream, role, err.read_bytes() if err.exists() else b"")
