"""A second launcher: it runs processes as children on this machine, without SSH, root or systemd.

All nodes are this machine, each with a loopback address of its own. What a node has installed is
below a folder instead of /opt/llama-herd, in the same layout.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path

from collect.attempt import NodeReading
from core.paths import ENGINES_FOLDER, MODELS_FOLDER
from core.paths import PROBE as PROBE_FOLDER
from experiments.fleet.cluster import Node
from experiments.nodes.facts import HELPER_VERSION
from experiments.nodes.launcher import Reply, Request, UnitState

PROBE = "/usr/local/libexec/llama-herd/herd-probe"
FACTS = b'{"machine_id": "m", "boot_id": "b", "cores": 4, "memory_mib": 4096, "link_mbit": 1000}'
TAIL_BYTES = 1024
LISTENS = "0A"
"""State of a socket in /proc/net/tcp."""


class ProcessGroup:
    """Processes that end with this one, also when it is killed: as a node's helper ends its own.

    The leader waits for a pipe that nothing writes to. The kernel closes it when this process ends.
    """

    def __init__(self) -> None:
        self._leader = subprocess.Popen(
            ["/bin/sh", "-c", "read -r _; kill -KILL 0"], stdin=subprocess.PIPE, process_group=0
        )
        self.end = weakref.finalize(self, _end, self._leader)

    @property
    def number(self) -> int:
        """Of the group, for processes that are to join."""
        return self._leader.pid


def _end(leader: subprocess.Popen[bytes]) -> None:
    leader.communicate()


class ChildLauncher:
    """Starts processes of this machine.

    Args:
        folder: has `engines/` and `models/`; logs and locks go below it, too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._group = ProcessGroup()
        for name in ("locks", "logs"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def open(self, node: Node) -> ChildConversation:
        """Nothing is in the way."""
        return ChildConversation(node, self._folder, self._group)

    def drop(self, node: Node) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """End what is left."""
        self._group.end()


@dataclass
class Child:
    """A process that was started."""

    unit: str
    process: subprocess.Popen[bytes]
    out: Path
    err: Path
    before: NodeReading
    started_at: float = field(default_factory=time.time)
    started_s: float = field(default_factory=time.monotonic)
    runtime_s: float | None = None
    weights: tuple[Path, bytes] | None = None

    def has_ended(self) -> bool:
        """Whether it has; remembers when that was seen first."""
        if self.process.poll() is None:
            return False
        self.runtime_s = self.runtime_s or time.monotonic() - self.started_s
        return True

    def end(self, number: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        self.process.wait(10)

    def state(self) -> UnitState:
        """As the trial's record has it."""
        ended, status = self.has_ended(), self.process.returncode
        return UnitState(
            running=not ended,
            exit_code=status if ended and status >= 0 else None,
            signal=-status if ended and status < 0 else None,
            started_at=self.started_at,
            runtime_s=self.runtime_s,
        )


class ChildConversation:
    """Answers every verb of the seam."""

    def __init__(self, node: Node, folder: Path, group: ProcessGroup) -> None:
        self.node = node
        self._folder = folder
        self._group = group
        self._children: dict[str, Child] = {}
        self._replies: list[Reply] = []
        self._lock: int | None = None
        self._starting: tuple[Child, Request] | None = None
        self._running: Child | None = None

    def send(self, request: Request) -> None:
        """Do what is asked."""
        reply = getattr(self, f"_{request.verb}")(request, dict(request.fields))
        if reply is not None:
            self._replies.append(reply)

    def poll(self, timeout_s: float) -> Reply | None:
        """The reply, as soon as there is one."""
        until = time.monotonic() + timeout_s
        while not self._replies:
            self._look()
            if self._replies or time.monotonic() > until:
                break
            time.sleep(0.005)
        return self._replies.pop(0) if self._replies else None

    def close(self, timeout_s: float) -> None:
        """End what runs, and let go of the node."""
        for child in self._children.values():
            if not child.has_ended():
                child.end(signal.SIGKILL)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _look(self) -> None:
        """See whether the root has ended, or what is being started is ready."""
        if self._running is not None and self._running.has_ended():
            child, self._running = self._running, None
            del self._children[child.unit]  # it is nothing that should still run
            self._replies.append(self._account("run", child))
        if self._starting is not None:
            child, request = self._starting
            is_up = self._listens(dict(request.fields).get("port"))
            if is_up or child.has_ended():
                self._starting = None
                parts = {} if is_up else {"error": b"it ended before it listened"}
                self._replies.append(Reply("start", ok=is_up, parts=parts, before=child.before))

    # -- verbs

    def _own(self, request: Request, fields: dict[str, str]) -> Reply:
        path = self._folder / "locks" / self.node.name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            owner = path.read_bytes()
            return Reply(request.verb, ok=False, parts={"owner": owner, "error": b"it is taken"})
        self._lock = descriptor
        path.write_text(fields["who"])
        return Reply(request.verb, ok=True)

    def _facts(self, request: Request, _: dict[str, str]) -> Reply:
        parts = {"helper": HELPER_VERSION.encode(), "facts": FACTS}
        for stamp in self._folder.glob("engines/*/install.json"):
            parts[f"install.{stamp.parent.name}"] = stamp.read_bytes()
        for manifest in self._folder.glob("models/*/manifest.json"):
            slug = manifest.parent.name
            parts[f"manifest.{slug}"] = manifest.read_bytes()
            files = [(path, path.stat()) for path in manifest.parent.iterdir()]
            told = [f"{found.st_size} {found.st_mtime_ns} {path}" for path, found in files]
            parts[f"files.{slug}"] = "\n".join(told).encode()
        return Reply(request.verb, ok=True, parts=parts)

    def _gpu(self, request: Request, _: dict[str, str]) -> Reply:
        return Reply(request.verb, ok=False, parts={"error": b"processes here see no GPU"})

    def _hash(self, request: Request, fields: dict[str, str]) -> Reply:
        path = Path(self._here(fields["file"]))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return Reply(
            request.verb, ok=True, parts={"sha256": sha256.encode(), "stamp": _stamp(path)}
        )

    def _space(self, request: Request, _: dict[str, str]) -> Reply:
        free_kib = shutil.disk_usage(self._folder).free // 1024
        return Reply(request.verb, ok=True, parts={"available_kib": str(free_kib).encode()})

    def _start(self, request: Request, _: dict[str, str]) -> None:
        self._starting = (self._begin(request), request)

    def _run(self, request: Request, _: dict[str, str]) -> None:
        self._running = self._begin(request)

    def _watch(self, request: Request, fields: dict[str, str]) -> Reply:
        tail = self._children[fields["unit"]].out.read_bytes()[-TAIL_BYTES:]
        return Reply(request.verb, ok=True, parts={"tail": tail, "unwell": self._unwell()})

    def _ping(self, request: Request, _: dict[str, str]) -> Reply:
        return Reply(request.verb, ok=True, parts={"unwell": self._unwell()})

    def _halt(self, request: Request, fields: dict[str, str]) -> Reply:
        self._children[fields["unit"]].end(signal.SIGKILL)
        return Reply(request.verb, ok=True)

    def _stop(self, request: Request, fields: dict[str, str]) -> Reply:
        child = self._children.pop(fields["unit"])
        was_running = not child.has_ended()
        if was_running:
            child.end(signal.SIGTERM)
        state = UnitState(running=True) if was_running else child.state()
        return self._account(request.verb, child, state)

    def _fetch(self, request: Request, fields: dict[str, str]) -> Reply:
        child = self._children[fields["unit"]]
        begins = (int(fields["out_from"]), int(fields["err_from"]))
        return self._account(request.verb, child, begins=begins)

    # -- processes

    def _begin(self, request: Request) -> Child:
        fields = dict(request.fields)
        argv = [self._here(value) for key, value in request.fields if key == "arg"]
        if argv[0] == PROBE:
            argv[:1] = [sys.executable, "-IS", str(PROBE_FOLDER)]
        environment = dict(value.split("=", 1) for key, value in request.fields if key == "env")
        stem = self._folder / "logs" / f"{self.node.name}.{fields['unit']}"
        out, err = stem.with_suffix(".out"), stem.with_suffix(".err")
        before = _reading()
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                argv,
                stdout=out_file,
                stderr=err_file,
                env={**os.environ, **environment},
                process_group=self._group.number,
            )
        child = Child(fields["unit"], process, out, err, before)
        if "weights" in fields:
            path = Path(self._here(fields["weights"]))
            child.weights = path, _stamp(path)
        self._children[child.unit] = child
        return child

    def _account(
        self,
        verb: str,
        child: Child,
        state: UnitState | None = None,
        begins: tuple[int, int] = (0, 0),
    ) -> Reply:
        logs = (child.out.read_bytes()[begins[0] :], child.err.read_bytes()[begins[1] :])
        parts = dict(zip(("out", "err"), logs, strict=True))
        if child.weights is not None:
            path, stamp = child.weights
            parts["weights"] = stamp if _stamp(path) == stamp else b"changed"
        return Reply(
            verb,
            ok=True,
            parts=parts,
            state=state or child.state(),
            before=child.before,
            after=_reading(),
        )

    def _unwell(self) -> bytes:
        ended = [c.unit for c in self._children.values() if c.has_ended() and c != self._running]
        return "".join(f"{unit}=has ended\n" for unit in ended).encode()

    def _here(self, word: str) -> str:
        """A path on a node as it is below the folder."""
        word = word.replace(ENGINES_FOLDER, str(self._folder / "engines"))
        return word.replace(MODELS_FOLDER, str(self._folder / "models"))

    def _listens(self, port: str | None) -> bool:
        """Whether something listens on the node's address; as the kernel says."""
        if port is None:
            return True
        octets = bytes(map(int, self.node.listen_address.split(".")))
        wanted = f"{octets[::-1].hex().upper()}:{int(port):04X}"
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        return any(line.split()[1] == wanted and line.split()[3] == LISTENS for line in lines)


def _reading() -> NodeReading:
    return NodeReading(clock_s=time.time(), uptime_s=time.monotonic())


def _stamp(path: Path) -> bytes:
    """What a file cannot keep while its content changes."""
    if not path.is_file() or path.is_symlink():
        return b""
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}".encode()
