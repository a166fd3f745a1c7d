"""An engine of known truth: what its processes print depends on the settings that they are given.

Polling takes three times as long, each thread more or less than three a quarter more, and one
thread ends the root with an error. `python -m tests.doubles.tuned_machine FOLDER` searches whether
it polls, so a test can kill that.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from collect.search import TuningResult
from collect.workloads import Benchmark
from experiments.fleet.cluster import Cluster, Node
from experiments.nodes.facts import look
from experiments.planning.matrix import Matrix
from experiments.planning.plan import Plan, make_plan, those_left
from experiments.runner import RunResult, run_on
from experiments.sessions.progress import make_progress
from experiments.tune.beginning import TuningQuestion, begin
from experiments.tune.budget import parse_budget
from experiments.tune.record import TuningRecord, find_search
from experiments.tune.search import search
from tests.doubles.child_launcher import ChildLauncher
from tests.doubles.installed import install
from tests.doubles.scripted import (
    GENERATED_TOKENS,
    LOGS,
    MODEL,
    PROMPT_TOKENS,
)

NODES = {f"pi{number}": f"127.93.0.{number}" for number in (1, 2)}
PROGRAM = f"""\
#!{sys.executable}
import os, pathlib, random, re, signal, socket, sys
logs, words = pathlib.Path({str(LOGS)!r}), sys.argv[1:]
value = lambda flag: words[words.index(flag) + 1]
if words[0] == "worker":
    listener = socket.create_server((value("--host"), int(value("--port"))))
    sys.stdout.write((logs / "n4" / "worker1.out").read_text())
    sys.stdout.flush()
    signal.pause()
threads, folder = int(value("--nthreads")), pathlib.Path(sys.argv[0]).parent
if threads == 1 or (folder / "fails").exists():
    sys.exit("one thread is too few")
slow = 20
if not (folder / "flat").exists():
    slow *= random.gauss(1, 0.02) * (1 + abs(threads - 3) / 4)
    slow *= 3 if value("--net-turbo") == "1" else 1
nodes = 1 + sum(word.endswith(":9990") for word in words)
text = (logs / f"n{{nodes}}" / "root.out").read_text()
times = lambda found: f"{{found[1]}} {{round(int(found[2]) * slow):4d}} ms"
rate = lambda found: f"{{float(found[1]) / slow:.2f}} ({{float(found[2]) * slow:.2f}} ms/tok)"
text = re.sub(r"(Eval|Pred|Sync) +([0-9]+) ms", times, text)
sys.stdout.write(re.sub(r"([0-9.]+) \\(([0-9.]+) ms/tok\\)", rate, text))
"""


def cluster() -> Cluster:
    """Two nodes, which are this machine."""
    return Cluster(tuple(Node(name, address, address) for name, address in NODES.items()))


def matrix(**axes: tuple[object, ...]) -> Matrix:
    """What is tuned."""
    return Matrix(
        title="Tuning",
        workload=Benchmark(prompt_tokens=PROMPT_TOKENS, generate_tokens=GENERATED_TOKENS),
        axes={
            "engine": ("distributed-llama",),
            "model": (MODEL,),
            "nodes": (2,),
            "weights": ("q4_0",),
            **axes,
        },
        max_attempts=2,
        file="tune.yml",
    )


def asked_for(asked: Matrix | None = None, budget: str | None = None) -> TuningQuestion:
    """The question, as the verb makes it."""
    return TuningQuestion(asked or matrix(), parse_budget(budget), 10, "answer", tuple(NODES))


class Bench:
    """Searches on a machine, with its results below a folder.

    Args:
        folder: of the machine and of results.
    """

    def __init__(self, folder: Path) -> None:
        self.machine = install(folder / "machine", PROGRAM)
        self.results = folder / "results"
        self.lines: list[str] = []
        self.runs = 0

    def look(self, asked: Matrix) -> Plan:
        """Plan on the nodes as they are."""
        nodes = those_left(cluster(), asked)
        return make_plan(asked, look(nodes, ChildLauncher(self.machine)), self.results)

    def run(self, asked: Matrix) -> RunResult:
        """Run a matrix."""
        self.runs += 1
        progress = make_progress(Console(file=sys.stderr, quiet=True))
        launcher = ChildLauncher(self.machine)
        return run_on(asked, cluster(), launcher, self.results, progress=progress)

    def record(self, asked: TuningQuestion) -> TuningRecord:
        """The search that goes on, or a new one."""
        found = find_search(self.results, asked.key)
        return found or begin(asked, self.results, self.look, self.run, self.lines.append)

    def search(
        self, asked: TuningQuestion, run: Callable[[Matrix], RunResult] | None = None
    ) -> TuningResult:
        """Search to the end."""
        record = self.record(asked)
        return search(asked.matrix, record, run or self.run, self.lines.append)


def main() -> int:
    """Search, and print the best setting."""
    asked = asked_for(matrix(net_turbo=(True, False), threads=(0,)))
    found = Bench(Path(sys.argv[1])).search(asked)
    print(found.best and dict(found.best.setting))  # noqa: T201 - for the test
    return 0


if __name__ == "__main__":
    sys.exit(main())
