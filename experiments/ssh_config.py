"""What the user's SSH configuration says of a machine: OpenSSH itself is asked, nothing is parsed.

Ansible connects with OpenSSH. So the runner goes the same way, with `Include`, `Match`, patterns
and tokens as OpenSSH takes them, and a mistake is told with its line.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from collect.errors import HerdError
from models.foreign import one_line

READ_S = 30
"""`Match exec` runs programs."""
MOST_JUMPS = 16
SSH_PORT = 22
LARGEST_PORT = 65_535
_JUMP = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\s]+))(?::(?P<port>\d+))?"
)
_TOKEN = re.compile(r"%(.?)")


@dataclass(frozen=True, slots=True)
class Place:
    """A machine on the way, as the configuration has it.

    Attributes:
        named: as it is called there.
        host: its name or address.
        user: who logs in.
        port: of its SSH server.
        keys: private keys that are there, in the order in which they are tried.
        jumps: machines to pass before it, as they are called.
        command: whose input and output stand for a connection; None for none.
    """

    named: str
    host: str
    user: str
    port: int
    keys: tuple[str, ...]
    jumps: tuple[str, ...] = ()
    command: str | None = None


def place_of(named: str, user: str | None = None, port: int | None = None) -> Place:
    """What the configuration says of a machine.

    Args:
        named: its name or address.
        user: who logs in; None for whom the configuration names.
        port: likewise.

    Raises:
        HerdError: the configuration cannot be read; the message has the line.
    """
    told = _told(named, user, port)
    host, name, number = told["hostname"][0], told["user"][0], int(told["port"][0])
    jumps = told.get("proxyjump", ["none"])[0]
    keys = [Path(key).expanduser() for key in told.get("identityfile", [])]
    return Place(
        named,
        host,
        name,
        number,
        keys=tuple(str(key) for key in keys if key.is_file()),
        jumps=() if jumps == "none" else tuple(jumps.split(",")),
        command=_command(told.get("proxycommand", ["none"])[0], (named, host, name, number)),
    )


def way_to(node: Place) -> list[Place]:
    """The jump hosts before a machine, in the order in which they are passed.

    As with OpenSSH, the first has a way of its own where the configuration says so.

    Raises:
        HerdError: one of them is none, or they lead in a circle.
    """
    way = [_jump(named) for named in node.jumps]
    while way and way[0].jumps:
        before = [_jump(named) for named in way[0].jumps]
        if before[-1].named == way[0].named:  # `ProxyJump` below `Host *` is for the others
            break
        way = [*before, *way]
        if len(way) > MOST_JUMPS:
            raise HerdError(
                f"Connecting to {node.named}: its jump hosts in ~/.ssh/config lead in a circle, "
                f"or are more than {MOST_JUMPS}: {', '.join(place.named for place in way[:4])} …"
            )
    return way


def _jump(named: str) -> Place:
    """A jump host, written as `[ssh://][user@]host[:port]`, an IPv6 address in brackets."""
    found = _JUMP.fullmatch(named.removeprefix("ssh://").removesuffix("/"))
    if found is None or not 1 <= int((found["port"] or "22")[:6]) <= LARGEST_PORT:
        raise HerdError(
            f"Reading ~/.ssh/config: `{one_line(named, 80)}` is no jump host. Write "
            "[user@]host[:port], an IPv6 address in brackets, several with commas and no blanks "
            "between."
        )
    return place_of(found["v6"] or found["host"], found["user"], _number(found["port"]))


def _number(port: str | None) -> int | None:
    return int(port) if port else None


def _told(named: str, user: str | None, port: int | None) -> dict[str, list[str]]:
    """Every option of a machine with its values, as `ssh -G` prints them."""
    argv = ["ssh", "-G", *_file()]
    argv += ["-l", user] if user else []
    argv += ["-p", str(port)] if port else []
    doing = f"Reading the SSH configuration of {one_line(named, 80)}"
    try:
        done = subprocess.run(
            [*argv, "--", named],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=READ_S,
            check=False,
        )
    except FileNotFoundError:
        raise HerdError(f"{doing}: ssh is not installed. Install OpenSSH's client.") from None
    except subprocess.TimeoutExpired:
        raise HerdError(f"{doing}: ssh -G did not end within {READ_S} s.") from None
    if done.returncode != 0:
        said = one_line(done.stderr.decode("utf-8", "replace").replace("\r", ""))
        raise HerdError(f"{doing}: {said}. Ansible needs it, too: try ssh -G {shlex.quote(named)}")
    told: dict[str, list[str]] = {}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(" ")
        told.setdefault(key, []).append(value)
    return told


def _file() -> tuple[str, ...]:
    """The option for a home that is not that of the account, at which OpenSSH looks."""
    home = Path.home()
    if home == Path(pwd.getpwuid(os.getuid()).pw_dir):
        return ()
    config = home / ".ssh" / "config"
    return ("-F", str(config) if config.exists() else "none")


def _command(command: str, known: tuple[str, str, str, int]) -> str | None:
    """A command with its tokens filled in, for the shell, which OpenSSH has run it, too."""
    if command == "none":
        return None
    tokens = dict(zip("nhrp%", (*map(str, known), "%"), strict=True))

    def filled(token: re.Match[str]) -> str:
        if token[1] not in tokens:
            raise HerdError(
                f"Reading ~/.ssh/config: `{token[0]}` in the ProxyCommand of {known[0]} is not "
                "understood; %h, %n, %p, %r and %% are."
            )
        return tokens[token[1]]

    asked = _TOKEN.sub(filled, command)
    words = asked if asked.startswith("exec ") else f"exec {asked}"
    return f"/bin/sh -c {shlex.quote(words)}"
