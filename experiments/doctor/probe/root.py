"""Whether the user that logs in can become root, as provisioning has to."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from experiments.doctor.probe.place import Place, ProgramResult, first_group

ANSWER_S = 10
"""How long sudo may take: it waits for LDAP, or for a name server that does not answer."""
SLOW_S = 3.0
WANTS_PASSWORD = ("a password is required", "interactive authentication is required")
"""What sudo and sudo-rs say in the C locale when they may not ask; their exit codes are all 1."""
WANTS_TERMINAL = "have a tty"


def root(place: Place, program: str) -> dict[str, Any]:
    """Who logs in, and what sudo lets that user do. Here nothing but `true` is run as root.

    Args:
        place: the node.
        program: what stands for `sudo`, as the inventory may say.
    """
    user = os.getuid()
    path = program if program.startswith("/") else place.program(program)
    told: dict[str, Any] = {
        "user": pwd.getpwuid(user).pw_name,
        "shell": pwd.getpwuid(user).pw_shell,
        "is_root": user == 0,
        "groups": sorted(filter(None, map(group_name, {os.getgid(), *os.getgroups()}))),
        "program": path if path and place.is_program(path) else None,
        "doas": place.program("doas") is not None,
        "sudo_ws": place.program("sudo.ws") is not None,
    }
    if told["is_root"] or told["program"] is None:
        return told
    begun_s = time.monotonic()
    # -k: a password that somebody gave a minute ago does not count.
    said = place.ask(program, "-k", "-n", "true", seconds=ANSWER_S)
    seconds = time.monotonic() - begun_s
    name = place.text("/proc/sys/kernel/hostname")
    return {
        **told,
        "asks": asks(said),
        "says": said.err.rpartition("\n")[2][:300] or None,
        "seconds": round(seconds, 1),
        "own_name_known": knows(place, name) if name and seconds > SLOW_S else None,
        "is_rs": said.code is not None and is_rs(place, program),
        "setuid": is_setuid(place, told["program"]),
        "new_privileges": first_group(r"^NoNewPrivs:\s*(\d)", place.text("/proc/self/status"))
        != "1",
    }


def as_root(place: Place, told: dict[str, Any]) -> Callable[..., ProgramResult] | None:
    """How to ask a program as root; None where sudo would ask for something first.

    Args:
        place: the node.
        told: as `root` returns it.
    """
    if told["is_root"]:
        return place.ask
    return partial(place.ask, told["program"], "-n") if told.get("asks") == "nothing" else None


def asks(said: ProgramResult) -> str:
    """What sudo wants: nothing, password, terminal; refused, or it is silent."""
    if said.code is None:
        return "silent"
    if said.code == 0:
        return "nothing"
    if WANTS_TERMINAL in said.err:
        return "terminal"
    return "password" if any(words in said.err for words in WANTS_PASSWORD) else "refused"


def is_rs(place: Place, program: str) -> bool:
    """Whether it is the sudo that is written in Rust, which has another prompt."""
    said = place.ask(program, "--version", seconds=ANSWER_S)
    return re.match(r"sudo-rs\b", said.out or said.err) is not None  # 0.2.5 tells it on stderr


def is_setuid(place: Place, program: str) -> bool:
    """Whether the program gets root's rights at all: by its mode, and by its file system."""
    try:
        told = place.path(program).stat()
        mounted = os.statvfs(place.path(program)).f_flag
    except OSError:
        return True
    return bool(told.st_mode & stat.S_ISUID and told.st_uid == 0 and not mounted & os.ST_NOSUID)


def knows(place: Place, name: str) -> bool:
    """Return whether the machine resolves its own name, which sudo looks up."""
    return place.ask("getent", "hosts", name, seconds=5).code == 0


def group_name(number: int) -> str | None:
    """A group's name; None for one that has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return None
