"""Measure the example of docs/adding-an-engine.md on the scripted herd, with its own program.

    python -m tests.doubles.added_engine FOLDER PROGRAM

Runs in a tree that has the engine. Prints JSON: what the plan says, what a bare cluster lacks, how
many trials were done, and the report's page.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from analysis.report import write_report
from experiments.fleet.cluster import Cluster, Installation, Node
from experiments.nodes.launcher import Reply, Request
from experiments.planning.describe import describe
from experiments.planning.lacks import lacks_of
from experiments.planning.matrix import load_matrix
from experiments.planning.plan import make_plan
from experiments.runner import run_on
from experiments.sessions.progress import LineProgress
from models.catalogue import load_catalogue
from tests.doubles.scripted import (
    MODEL,
    SHA256,
    ScriptedConversation,
    ScriptedLauncher,
    World,
    arguments_of,
    cluster,
)

MATRIX = f"""\
title: The example
workload: {{kind: benchmark, prompt_tokens: 32, generate_tokens: 64}}
axes:
  engine: [ringer]
  model: ["{MODEL}"]
  nodes: [1, 2, 4]
repeats: 6
"""


class Conversation(ScriptedConversation):
    """A node that has ringer, and runs it."""

    def _facts(self, fields: dict[str, str], request: Request) -> Reply:
        reply = super()._facts(fields, request)
        stamp = {"engine": "ringer", "version": "example", "protocol": None, "installed": True}
        known = {"arguments": arguments_of("ringer"), "binary_sha256": {"ringer": SHA256}}
        record = {**stamp, "reason": None, **known}
        return replace(reply, parts={**reply.parts, "install.ringer": json.dumps(record).encode()})

    def _run(self, fields: dict[str, str], request: Request) -> Reply | None:
        reply = super()._run(fields, request)
        _, *words = [value for key, value in request.fields if key == "arg"]
        words[words.index("--model") + 1] = __file__
        done = subprocess.run([sys.argv[2], *words], capture_output=True, check=True)
        assert reply is not None
        return replace(reply, parts={**reply.parts, "out": done.stdout, "err": done.stderr})


class Launcher(ScriptedLauncher):
    def open(self, node: Node) -> Conversation:
        return Conversation(node, self._world)


def main() -> None:
    folder = Path(sys.argv[1])
    file = folder / "ringer.yml"
    file.write_text(MATRIX)
    matrix = load_matrix(file)
    slug = load_catalogue().get(MODEL).slug
    gguf = f"{slug}-f32.gguf"

    bare = Cluster(tuple(replace(node, memory_mib=4096) for node in cluster(4).nodes))
    installed = {"ringer": Installation("ringer", installed=True, version="example")}
    whole = Cluster(
        tuple(
            replace(node, engines=installed, model_sha256={f"{slug}/{gguf}": SHA256})
            for node in bare.nodes
        )
    )
    lacks = lacks_of(matrix.cells(), bare)
    progress = LineProgress(Console(file=sys.stderr))
    world = World(folder / "world", slug, (gguf,))
    result = run_on(matrix, cluster(4), Launcher(world), folder / "results", progress=progress)
    told = {
        "plan": describe(make_plan(matrix, whole)),
        "lacks": [dict(lacks.engines), list(lacks.models.values())],
        "counts": result.counts,
        "report": str(write_report(result.folder, folder / "reports").index),
    }
    print(json.dumps(told))  # noqa: T201 - for the test


if __name__ == "__main__":
    main()
