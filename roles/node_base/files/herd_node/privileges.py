"""All that the helper does as root for those who are not.

In this order:

    start     an engine's program, the client or the probe, as `herd`, fenced in, with limits
    devices   have the GPU's made for an engine that was built for it, and show it those
    stop      a unit that this program started, and no other
    lock      the node, by a file that only root can open; end the helper that holds it
    read      records of engines, hashes of models, logs of units, opened below their folders
    delete    the logs of units
    ask       five programs, each with arguments that are written in the helper
    firewall  the number of the kernel's rules' last change

A test refuses such calls in any other module. The table in docs/architecture.md says what each is
for and where it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import time

from herd_node import places
from herd_node.allowed import Wish, Words, check, require_built, words_of
from herd_node.cards import BACKENDS, Shown, is_unmade, shown
from herd_node.confinement import USER, properties
from herd_node.ground import PIECE_BYTES, RefusalError, content, entries, printable
from herd_node.messages import UNIT_NAME, Request
from herd_node.systemd import Systemd

MAKE_DEVICES = ("/usr/bin/nvidia-modprobe", "-c=0", "-u")
"""NVIDIA's setuid program, which no unit can start."""
MOST_UNITS = 16
LOCK_MODE = 0o600
ROOT = 0
ANSWER_S = 20.0
"""How long a program that is asked may take."""
PROOF_S = 15
"""How long a GPU's driver may take in all."""


def start_unit(systemd: Systemd, unit: str, request: Request) -> None:
    """Start a process as a confined transient unit."""
    check_program(request)
    engine, wish = request.engine(), request.gpu()
    begin(systemd, unit, request, engine, gpu_for(engine, wish) if wish else None)


def start_gpu_proof(systemd: Systemd, unit: str, engine: str, index: int) -> None:
    """Start the program that has a GPU compute, with the rights of an engine that is built for it.

    Raises:
        RefusalError: it is not built for any, or there is no such GPU.
    """
    told = record(engine)
    backend = told.get("gpu") if isinstance(told, dict) else None
    if backend not in BACKENDS:
        raise RefusalError(f"{places.ENGINES}/{engine}/install.json names no GPU for {engine}")
    argv = (places.GPU_PROOF, backend, "0", f"{PROOF_S}", f"{index}")
    asked_for = [f"deadline={PROOF_S + 3}", *(f"arg={word}" for word in argv)]
    begin(
        systemd, unit, Request(["gpu", *asked_for]), engine, gpu_for(engine, Wish(backend, index))
    )


def begin(systemd: Systemd, unit: str, request: Request, engine: str, gpu: Shown | None) -> None:
    """Have systemd start what was checked."""
    if len(running_units(systemd)) >= MOST_UNITS:
        raise RefusalError(f"{MOST_UNITS} units run here already")
    given = properties(unit, request, engine, gpu)
    systemd.call(
        "StartTransientUnit",
        "ssa(sv)a(sa(sv))",
        f"{unit}.service",
        "fail",
        ctypes.c_uint(len(given)),
        *(word for one in given for word in one),
        ctypes.c_uint(0),
    )


def check_program(request: Request) -> Words:
    """Refuse everything but engines, with what their records allow, and the client.

    Returns:
        What the program may be given.
    """
    return check(
        request.program(),
        request.listed["env"],
        request.gpu(),
        lambda engine: words_of(engine, record(engine)),
    )


def gpu_for(engine: str, wish: Wish) -> Shown:
    """What a unit of an engine is shown of a GPU, whose devices are made if they were not.

    Raises:
        RefusalError: the engine was not built for it, or there is no such GPU.
    """
    if not engine:
        raise RefusalError("only an engine uses a GPU")
    require_built(engine, record(engine), wish.backend)
    if is_unmade() and os.access(MAKE_DEVICES[0], os.X_OK):
        asked(*MAKE_DEVICES)
    return shown(wish.backend, wish.number)


def is_ours(systemd: Systemd, name: str) -> bool:
    """Whether a unit is one that this program started: transient, and of that user."""
    return (
        os.path.exists(f"{places.TRANSIENT}/{name}.service")
        and systemd.word(name, Systemd.SERVICE, "User") == USER
    )


def running_units(systemd: Systemd) -> list[str]:
    """All units of ours that systemd knows."""
    names = (name for name in entries(places.TRANSIENT) if name.endswith(".service"))
    units = (name[: -len(".service")] for name in names)
    return [unit for unit in units if UNIT_NAME.fullmatch(unit) and is_ours(systemd, unit)]


def require_ours(systemd: Systemd, name: str) -> None:
    """Refuse a unit of this node's own that merely has such a name."""
    if is_ours(systemd, name):
        return
    # Asked last: one of ours that has stopped may be forgotten between the two questions.
    if systemd.word(name, Systemd.UNIT, "LoadState") not in ("", "not-found"):
        raise RefusalError(f"the unit {name} is this node's own, not one of llama-herd")


def stop_unit(systemd: Systemd, name: str) -> None:
    """Have systemd stop one of ours, if it is there; does not wait."""
    require_ours(systemd, name)
    with contextlib.suppress(RefusalError):
        systemd.call("StopUnit", "ss", f"{name}.service", "replace")


def forget_unit(systemd: Systemd, name: str) -> None:
    """Have systemd forget that one of ours failed, and delete its logs."""
    require_ours(systemd, name)
    with contextlib.suppress(RefusalError):
        systemd.call("ResetFailedUnit", "s", f"{name}.service")
    for kind in ("out", "err"):
        delete_log(f"{name}.{kind}")


class NodeLock:
    """Lock a node for its owner. Only root can open the lock's file, so no one else can hold it.

    Raises:
        RefusalError: others could, because the file was changed.
    """

    def __init__(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(places.LOCK, flags, LOCK_MODE)
        status = os.fstat(self._file)
        is_roots = status.st_uid == os.geteuid() and not status.st_mode & ~LOCK_MODE & 0o777
        if not (is_roots and stat.S_ISREG(status.st_mode)):
            self.close()
            raise RefusalError(f"others than root may open {places.LOCK}: remove it")

    def taken(self, seconds: float) -> bool:
        """Whether it could be had within that time."""
        until = time.monotonic() + seconds
        while not self._had():
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def _had(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def signed(self) -> str:
        """What its owner said of itself. Nothing is done for it: it is that owner's own text."""
        return os.pread(self._file, 1000, 0).decode("utf-8", "replace")

    def sign(self, who: str) -> None:
        """Say who we are, and have a folder for logs."""
        os.makedirs(places.ATTEMPTS, exist_ok=True)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{printable(who)[:300]}\n".encode(), 0)

    def end_holder(self) -> None:
        """Kill the helper that holds it, as the kernel names it; nothing that is no helper."""
        inode = str(os.fstat(self._file).st_ino)
        with open("/proc/locks", encoding="ascii") as file:
            lines = file.readlines()  # any user may hold many
        for line in lines:
            words = line.split()
            if words[1:2] == ["FLOCK"] and words[5].rpartition(":")[2] == inode:
                end_helper(int(words[4]))

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)


def end_helper(pid: int) -> None:
    """Kill another process of this program."""
    if pid <= 1 or pid == os.getpid():
        return
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            # After the handle was had: it stands for one process, whatever becomes of its number.
            if is_helper(pid):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def is_helper(pid: int) -> bool:
    """Whether a process is this program, serving, of the same user."""
    *_, program, verb = ["", "", *content(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")]
    is_program = os.path.basename(program) == os.path.basename(sys.argv[0])
    return is_program and verb == "serve" and os.stat(f"/proc/{pid}").st_uid == os.geteuid()


def opened(folder: str, *names: str) -> int:
    """A regular file below a folder of root's, without following a link below it.

    It is first had as a mere place, looked at, and only then opened, as that same thing: a path
    may lead elsewhere a moment after a look, and to open a device or a pipe may already do harm.

    Raises:
        OSError: as `os.open`.
        RefusalError: it is no regular file, or the names lead out of the folder.
    """
    if any(name in ("", ".", "..") or "/" in name or "\0" in name for name in names):
        raise RefusalError(f"{'/'.join(names)[:200]!r} is not below {folder}")
    look = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for depth, name in enumerate(names, start=1):
            inner = os.O_DIRECTORY if depth < len(names) else 0
            below = os.open(name, look | inner, dir_fd=place)
            os.close(place)
            place = below
        if not stat.S_ISREG(os.fstat(place).st_mode):
            raise RefusalError(f"{folder}/{'/'.join(names)} is no regular file")
        return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(place)


def record(engine: str) -> object:
    """What was written when an engine was installed (`install.json`); None where that is no JSON.

    Only root's word counts: it says what may be started.

    Raises:
        RefusalError: there is none, or another than root may have written it.
    """
    path = f"{places.ENGINES}/{engine}/install.json"
    try:
        with open(opened(places.ENGINES, engine, "install.json"), "rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(PIECE_BYTES + 1)
    except OSError as error:
        raise RefusalError(f"reading {path}: {error.strerror}") from None
    if status.st_uid != ROOT or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RefusalError(f"{path} is not root's alone: provision the engines of this node again")
    if len(text) > PIECE_BYTES:
        raise RefusalError(f"{path} has more than {PIECE_BYTES} bytes")
    try:
        told: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return told


def sha256_of(path: str) -> str:
    """Of a file below the models' folder."""
    if not path.startswith(f"{places.MODELS}/"):
        raise RefusalError(f"{path[:200]!r} is not below {places.MODELS}")
    digest = hashlib.sha256()
    try:
        with open(opened(places.MODELS, *path[len(places.MODELS) + 1 :].split("/")), "rb") as file:
            for piece in iter(lambda: file.read(PIECE_BYTES), b""):
                digest.update(piece)
    except OSError as error:
        raise RefusalError(f"reading {path[:200]!r}: {error.strerror}") from None
    return digest.hexdigest()


def file_stamp(path: str) -> str:
    """Size, times of change and number of a file below the models' folder; empty if it is none.

    The time of change of the inode cannot be set, so a file that keeps this keeps what it holds.
    """
    if not path.startswith(f"{places.MODELS}/"):
        raise RefusalError(f"{path[:200]!r} is not below {places.MODELS}")
    try:
        file = opened(places.MODELS, *path[len(places.MODELS) + 1 :].split("/"))
    except (OSError, RefusalError):
        return ""
    try:
        status = os.fstat(file)
    finally:
        os.close(file)
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def log_bytes(unit: str, kind: str) -> int | None:
    """How long a log is; None if there is none."""
    try:
        file = opened(places.ATTEMPTS, f"{unit}.{kind}")
    except OSError:
        return None
    try:
        return os.fstat(file).st_size
    finally:
        os.close(file)


def read_log(unit: str, kind: str, begin: int, most: int) -> bytes:
    """A piece of a log; empty if there is none."""
    try:
        with open(opened(places.ATTEMPTS, f"{unit}.{kind}"), "rb") as file:
            file.seek(begin)
            return file.read(most)
    except OSError:
        return b""


def delete_log(name: str) -> None:
    """One file of the logs' folder."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{places.ATTEMPTS}/{name}")


def asked(*argv: str, seconds: float = ANSWER_S) -> subprocess.CompletedProcess[bytes]:
    """What a program says, in an environment of ours. Raises RefusalError if it does not end."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=seconds,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RefusalError(f"asking {argv[0]}: {error}") from None


def ruleset_generation() -> int | None:
    """Changes at every change of the kernel's rules; None if it does not report it."""
    netfilter, ask, told = 12, (10 << 8) | 16, (10 << 8) | 15  # NFT_MSG_GETGEN, NFT_MSG_NEWGEN
    request, number = 1, 1  # NLM_F_REQUEST, NFTA_GEN_ID
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter) as kernel:
            kernel.settimeout(1.0)
            kernel.send(struct.pack("=IHHIIBBH", 20, ask, request, 1, 0, 0, 0, 0))
            answer = kernel.recv(4096)
        kind, attribute = (struct.unpack_from("=H", answer, at)[0] for at in (4, 22))
        if (kind, attribute) != (told, number):
            return None
        return int(struct.unpack_from(">I", answer, 24)[0])
    except (OSError, struct.error):
        return None
