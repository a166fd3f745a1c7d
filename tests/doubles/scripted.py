"""A herd that exists on paper: nodes that answer the helper's requests with recorded logs.

What a real herd keeps when the runner dies is kept here on disk, outside the run's folder:

    world/units/<node>.<unit>    a unit that runs
    world/locks/<node>           held with flock by the connection that owns the node
    world/journal                one line for each thing that was done, appended at once

The logs are those of distributed-llama v0.16.4 on 1, 2 and 4 nodes (tests/data/scripted/).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from experiments.engines import ON_NODES
from experiments.fleet.cluster import Cluster, Node
from experiments.nodes.facts import HELPER_VERSION
from experiments.nodes.launcher import NodeLostError, Reply, Request
from experiments.nodes.ssh.wire import encode, reply_of

LOGS = Path(__file__).resolve().parents[1] / "data" / "scripted"
MODEL = "synthetic:dim=1024,hidden=2816,layers=8,heads=16,kv_heads=8,vocab=4096,context=256,seed=1"
PROMPT_TOKENS = 20
GENERATED_TOKENS = 21
SHA256 = "c0ffee" + "0" * 58


def arguments_of(name: str) -> dict[str, list[str]]:
    """What the record of an engine, installed by this version, lets it be started with."""
    engine = ON_NODES[name]
    lists = {"options": engine.options, "flags": engine.flags, "texts": engine.texts}
    return {kind: list(words) for kind, words in lists.items()}


def cluster(nodes: int) -> Cluster:
    """So many nodes that were not asked for anything yet."""
    return Cluster(
        tuple(
            Node(name=f"pi{n}", address=f"10.77.0.{10 + n}", engine_address=f"10.77.0.{10 + n}")
            for n in range(1, nodes + 1)
        )
    )


@dataclass
class World:
    """What is there beside the runner, and what it will do.

    Attributes:
        folder: where it is kept.
        slug: folder of the model on the root.
        files: names of the model's files there.
        fails: whether a root of that unit fails, as when a worker is killed.
        hangs: whether a root of that unit never ends by itself.
        frozen: whether the processes of a node are.
        silent: nodes that do not answer; a test may change it while a run goes.
        swapped: pages that a node swaps while a unit runs.
        link_mbit: speed of a node's link, as it says at any moment.
        emulated: whether a node's processor is.
        on_root: called before each root, with its unit.
        available_mib: free memory, as nodes say.
        has_model: whether the model's files are on a node.
        boot_id: what a node was booted as.
        gpu: what `herd-gpu` prints about a node's GPU; None of a node whose engine has none set up.
        joules: what each energy counter of a node says next; None of a node without.
    """

    folder: Path
    slug: str
    files: tuple[str, ...]
    fails: Callable[[str], bool] = lambda unit: False
    hangs: Callable[[str], bool] = lambda unit: False
    frozen: Callable[[str], bool] = lambda node: False
    silent: set[str] = field(default_factory=set)
    swapped: Callable[[str], int] = lambda unit: 0
    link_mbit: Callable[[str], int] = lambda node: 1000
    emulated: Callable[[str], bool] = lambda node: False
    on_root: Callable[[str], None] = lambda unit: None
    machine_id: Callable[[str], str] = lambda node: f"machine-of-{node}"
    binary_sha256: str = SHA256
    installed: Callable[[str], bool] = lambda node: True
    free_kib: int = 1 << 20
    model_bytes: int = 7
    model_sha256: str = SHA256
    available_mib: int | None = None
    has_model: Callable[[str], bool] = lambda node: node == "pi1"
    boot_id: Callable[[str], str] = lambda node: "boot"
    joules: Callable[[str], dict[str, float] | None] = lambda node: None
    gpu: Callable[[str], bytes | None] = lambda node: None

    def __post_init__(self) -> None:
        for name in ("units", "locks"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def note(self, event: str, node: str, unit: str) -> None:
        """Append to the journal in one write, which a kill cannot tear."""
        line = json.dumps({"event": event, "node": node, "unit": unit}) + "\n"
        descriptor = os.open(self.folder / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        # Past Python's own `os.write`, which tests replace.
        with os.fdopen(descriptor, "ab", buffering=0) as journal:
            journal.write(line.encode())

    def journal(self) -> list[dict[str, str]]:
        """All that was done."""
        path = self.folder / "journal"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def units(self) -> list[str]:
        """What runs: `<node>.<unit>`."""
        return sorted(path.name for path in (self.folder / "units").iterdir())


class ScriptedLauncher:
    """Links to the nodes of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def open(self, node: Node) -> ScriptedConversation:
        """A link; NodeLostError if the node is silent."""
        if node.name in self._world.silent:
            raise NodeLostError(node.name, f"Connecting to {node.name}: it does not answer")
        return ScriptedConversation(node, self._world)

    def drop(self, node: Node) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to end."""


class ScriptedConversation:
    """Answers as `herd-node` does."""

    def __init__(self, node: Node, world: World) -> None:
        self.node = node
        self._world = world
        self._lock: int | None = None
        self._pending: list[Reply] = []
        self._deaf = False

    def send(self, request: Request) -> None:
        """Do what is asked."""
        encode(request)
        if self.node.name in self._world.silent:
            self._deaf = True
            return
        fields = dict(request.fields)
        self._pending += filter(None, [getattr(self, f"_{request.verb}")(fields, request)])

    def poll(self, timeout_s: float) -> Reply | None:
        """The result."""
        if self._deaf or self.node.name in self._world.silent:
            time.sleep(min(timeout_s, 0.001))
            return None
        if not self._pending:
            time.sleep(min(timeout_s, 0.01))
            return None
        return self._pending.pop(0)

    def close(self, timeout_s: float) -> None:
        """What the helper does at the end of a connection: stop all and let go."""
        if self._lock is not None:
            if self.node.name not in self._world.silent:
                self._stop_all()
            os.close(self._lock)
            self._lock = None

    # -- verbs

    def _facts(self, fields: dict[str, str], request: Request) -> Reply:
        world = self._world
        engine = {"engine": "distributed-llama", "version": "v0.16.4", "protocol": None}
        stamp = {
            **engine,
            "installed": world.installed(self.node.name),
            "reason": "its source could not be fetched",
            "binary_sha256": {"dllama": world.binary_sha256},
            "arguments": arguments_of("distributed-llama"),
            "gpu": None if world.gpu(self.node.name) is None else "vulkan",
        }
        parts = {
            "helper": HELPER_VERSION.encode(),
            "facts": json.dumps(
                {
                    "machine_id": world.machine_id(self.node.name),
                    "boot_id": world.boot_id(self.node.name),
                    "cores": 4,
                    "memory_mib": 4096,
                    "available_mib": world.available_mib,
                    "cpu_model": "Cortex-A76",
                    "emulated": world.emulated(self.node.name),
                    "link_mbit": world.link_mbit(self.node.name),
                }
            ).encode(),
            "install.distributed-llama": json.dumps(stamp).encode(),
            "energy": self._counters(),
        }
        if world.has_model(self.node.name):
            stamps = {n: {"sha256": SHA256, "size_bytes": 7, "mtime_ns": 5} for n in world.files}
            parts[f"manifest.{world.slug}"] = json.dumps({"files": stamps}).encode()
            there = "\n".join(f"{world.model_bytes} 5 /m/{name}" for name in world.files)
            parts[f"files.{world.slug}"] = there.encode()
        return reply_of(request.verb, ok=True, parts=parts)

    def _gpu(self, fields: dict[str, str], request: Request) -> Reply:
        self._world.note("tried its GPU", self.node.name, fields["engine"])
        told = self._world.gpu(self.node.name) or b""
        if told.startswith(b"refused: "):
            error = told.removeprefix(b"refused: ")
            return reply_of(request.verb, ok=False, parts={"error": error})
        return reply_of(request.verb, ok=True, parts={"gpu": told})

    def _own(self, fields: dict[str, str], request: Request) -> Reply:
        path = self._world.folder / "locks" / self.node.name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return reply_of(
                request.verb, ok=False, parts={"owner": path.read_bytes(), "error": b"it is taken"}
            )
        self._lock = descriptor
        path.write_text(fields["who"] + "\n")
        self._stop_all()
        return Reply(request.verb, ok=True)

    def _run(self, fields: dict[str, str], request: Request) -> Reply | None:
        unit = fields["unit"]
        before, energy_before = self._reading(0), self._joules()
        self._begin(unit)
        self._world.on_root(unit)
        if self._world.hangs(unit):
            return None
        argv = [value for key, value in request.fields if key == "arg"]
        nodes = 1 + sum(word.endswith(":9990") for word in argv)
        failed = self._world.fails(unit)
        folder = LOGS / ("worker_killed" if failed else f"n{nodes}")
        self._end(unit)
        self._world.note("measured", self.node.name, unit)
        return reply_of(
            request.verb,
            ok=True,
            parts={
                "before": before,
                "energy_before": energy_before,
                "energy_after": self._joules(),
                "props": _shown(exit_status=1 if failed else 0),
                "after": self._reading(self._world.swapped(unit)),
                "out": _log(folder / "root.out"),
                "err": _log(folder / "root.err"),
            },
        )

    def _start(self, fields: dict[str, str], request: Request) -> Reply:
        self._begin(fields["unit"])
        return reply_of(request.verb, ok=True, parts={"before": self._reading(0)})

    def _stop(self, fields: dict[str, str], request: Request) -> Reply:
        self._end(fields["unit"])
        return reply_of(
            request.verb,
            ok=True,
            parts={
                "props": _shown(exit_status=None),
                "after": self._reading(0),
                "out": self._worker_log(),
                "err": b"",
            },
        )

    def _fetch(self, fields: dict[str, str], request: Request) -> Reply:
        parts = {
            "props": b"",
            "after": self._reading(0),
            "alive": b"yes",
            "out": self._worker_log(),
        }
        return reply_of(request.verb, ok=True, parts={**parts, "err": b""})

    def _ping(self, fields: dict[str, str], request: Request) -> Reply:
        if not self._world.frozen(self.node.name):
            return Reply(request.verb, ok=True)
        names = [name.partition(".")[2] for name in self._world.units() if self.node.name in name]
        return reply_of(
            request.verb, ok=True, parts={"unwell": _pairs(**dict.fromkeys(names, "was frozen"))}
        )

    def _watch(self, fields: dict[str, str], request: Request) -> Reply:
        return reply_of(request.verb, ok=True, parts={"tail": b""})

    def _halt(self, fields: dict[str, str], request: Request) -> Reply:
        self._end(fields["unit"])
        self._pending.append(Reply(request.verb, ok=True))
        parts = {
            "props": _shown(exit_status=1),
            "before": self._reading(0),
            "after": self._reading(0),
        }
        return reply_of("run", ok=True, parts={**parts, "out": b"", "err": b""})

    def _energy(self, fields: dict[str, str], request: Request) -> Reply:
        return reply_of(request.verb, ok=True, parts={"energy": self._joules()})

    def _hash(self, fields: dict[str, str], request: Request) -> Reply:
        self._world.note("hashed", self.node.name, fields["file"])
        told = {"sha256": self._world.model_sha256.encode(), "stamp": b"7 5 5 1"}
        return reply_of(request.verb, ok=True, parts=told)

    def _space(self, fields: dict[str, str], request: Request) -> Reply:
        return reply_of(
            request.verb, ok=True, parts={"available_kib": str(self._world.free_kib).encode()}
        )

    def _joules(self) -> bytes:
        told = self._world.joules(self.node.name)
        if told is None:
            return b""
        return _pairs(at_s=f"{time.monotonic()}", **{name: str(j) for name, j in told.items()})

    def _counters(self) -> bytes:
        told = self._world.joules(self.node.name)
        return _pairs(counters=", ".join(told)) if told else _pairs(obstacle="it has none")

    def _reading(self, swapped: int) -> bytes:
        link_mbit = str(self._world.link_mbit(self.node.name))
        return _pairs(
            clock_s="100.5", uptime_s="50.5", swap_pages=str(swapped), link_mbit=link_mbit
        )

    # -- units

    def _begin(self, unit: str) -> None:
        (self._world.folder / "units" / f"{self.node.name}.{unit}").touch()

    def _end(self, unit: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._world.folder / "units" / f"{self.node.name}.{unit}").unlink()

    def _stop_all(self) -> None:
        for name in self._world.units():
            if name.startswith(f"{self.node.name}."):
                self._end(name.removeprefix(f"{self.node.name}."))

    def _worker_log(self) -> bytes:
        return _log(LOGS / "n4" / f"worker{(int(self.node.name[2:]) - 2) % 3 + 1}.out")


def _log(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _pairs(**values: str) -> bytes:
    return "".join(f"{key}={value}\n" for key, value in values.items()).encode()


def _shown(exit_status: int | None) -> bytes:
    """What systemd shows of a unit that ended, or still runs."""
    ended = exit_status is not None
    return _pairs(
        ActiveState="active",
        Result="exit-code" if exit_status else "success",
        ExecMainCode="1" if ended else "0",
        ExecMainStatus=str(exit_status or 0),
        ExecMainStartTimestamp="1795408106123456",
        ExecMainStartTimestampMonotonic="1000000",
        ExecMainExitTimestampMonotonic="1250000" if ended else "0",
        CPUUsageNSec="123000000",
    )
