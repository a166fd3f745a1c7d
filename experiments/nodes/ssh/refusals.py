"""What OpenSSH's words about a connection that failed mean, and what to do about it."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import HerdError
from core.foreign import one_line
from experiments.fleet.cluster import Node
from experiments.fleet.commands import on_node
from experiments.nodes.launcher import NodeLostError
from experiments.nodes.ssh.arguments import destination
from experiments.nodes.ssh.channel import SilentError
from experiments.nodes.ssh.openssh import Call, OpenSsh, Told
from experiments.nodes.ssh.rules import (
    BOUNDED,
    CHECKED,
    KNOWN_HOSTS,
    ONLY_THERE,
    SSH_PORT,
    TALKING,
    as_value,
)

KEY_S = 10
_UNKNOWN = re.compile(r"No \S+ host key is known for (\S+) and you have requested")
_CHANGED = re.compile(r"Host key for (\S+) has changed and you have requested")
_REVOKED = re.compile(r"host key for (\S+) is marked as revoked")
_OFFENDING = re.compile(r"Offending (?:\S+ )?key in (.+):\d+")
_DENIED = re.compile(r"^(.+)@(\S+): Permission denied \(", re.MULTILINE)
_TOO_MANY = re.compile(r"from (\S+) port (\d+):\d+: Too many authentication failures")
_NOT_THERE = re.compile(r"connect to host (\S+) port (\d+): (.+)")
_OPEN_KEY = re.compile(r"Permissions \S+ for '(.+)' are too open")
_SETTING = re.compile(r"no matching|percent_expand|[Bb]ad configuration|Cannot specify")
_TOLD_IF_ASKED = re.compile(r"Unable to negotiate with|channel \d+: open failed|Authenticated to ")
_CANNOT_NEGOTIATE = re.compile(r"^Unable to negotiate with (\S+) port (\d+): (.+)", re.MULTILINE)
_LET_IN = re.compile(r"^Authenticated to ", re.MULTILINE)
_NOT_LED_ON = re.compile(r"^channel \d+: open failed: (.+)", re.MULTILINE)
_LEADS_NOWHERE = "stdio forwarding failed"
_TURNED_AWAY = re.compile(
    r"kex_exchange_identification|Connection (?:closed|reset) by|Exceeded MaxStartups"
    r"|Not allowed at this time"
)


def was_turned_away(said: str) -> bool:
    """Whether a server closed the door before it had looked at who comes.

    It does so when many come at once (`MaxStartups`), so it pays to come again.
    """
    lines = [line for line in said.splitlines() if line.strip()]
    return bool(lines) and all(_TURNED_AWAY.search(line) for line in lines)


def is_unexplained(said: str) -> bool:
    """Whether OpenSSH's errors leave out the cause: some appear only in verbose output."""
    return not said.strip() or was_turned_away(said) or _LEADS_NOWHERE in said


def explained(said: str, verbose: str) -> str:
    """Return OpenSSH's message, with the lines of its verbose output that show the cause."""
    asked = [line for line in verbose.splitlines() if _TOLD_IF_ASKED.match(line)]
    return "\n".join([*asked, said])


_NOT_OF_THE_WAY = frozenset(
    name.lower()
    for name in (
        *(*CHECKED, *BOUNDED, *TALKING, *ONLY_THERE),
        *("ControlPersist", "Port", "UserKnownHostsFile"),
    )
)


@dataclass(frozen=True, slots=True)
class _Machine:
    """A machine that OpenSSH mentioned.

    Attributes:
        where: how a message about it begins.
        by_hand: the words with which a person reaches it: options, then the machine.
        known_hosts: the file that is to have its key.
        keys: with which OpenSSH logs in there.
        jump: what it is called if it is before the node.
    """

    where: str
    by_hand: tuple[str, ...]
    known_hosts: str
    keys: tuple[str, ...] = ()
    jump: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A connection that failed.

    Attributes:
        node: where to.
        ssh: what called OpenSSH, and how.
        said: what that said on standard error.
        why: what was seen from here, half a sentence.
        is_listed: whether the inventory has the node, so that Ansible can try it.
    """

    node: Node
    ssh: OpenSsh
    call: Call
    said: str
    why: SilentError
    is_listed: bool = True

    def error(self) -> HerdError:
        """What it means and what to do about it."""
        said = self.said
        if self.why.let_in:
            return HerdError(self._in_vain(self._machine()))
        if found := _UNKNOWN.search(said) or _CHANGED.search(said) or _REVOKED.search(said):
            host, port = _split(found[1])
            return HerdError(self._about_host_key(self._machine(host, port), found))
        if found := _DENIED.search(said):
            return HerdError(self._not_let_in(self._machine(found[2], user=found[1])))
        if found := _TOO_MANY.search(said):
            machine = self._machine(found[1], found[2])
            return HerdError(
                f"{machine.where}: SSH offers too many keys before the right one. Offer only "
                "the right one, with `IdentityFile` and `IdentitiesOnly yes` in ~/.ssh/config "
                f"below `Host {machine.jump or self.node.address}`."
            )
        return self._not_reached()

    def _not_reached(self) -> HerdError:
        said = self.said
        if found := _CANNOT_NEGOTIATE.search(said):  # no common key exchange, cipher, MAC, host key
            machine = self._machine(found[1], found[2])
            return HerdError(f"{machine.where}: {one_line(found[3], 300)}. Ansible needs one, too.")
        if _LEADS_NOWHERE in said and (told := self._not_led_on()):
            return NodeLostError(self.node.name, f"{told} {self._try()}")
        found = _NOT_THERE.search(said)
        machine = self._machine(found[1], found[2]) if found else self._machine()
        reason = one_line(" ".join(_telling(said))) or str(self.why)
        if _SETTING.search(said):
            return HerdError(f"{machine.where}: {reason}. Ansible needs that, too.")
        said = f"{machine.where}: it does not answer ({reason}). {self._try()}"
        return NodeLostError(self.node.name, said)

    def _try(self) -> str:
        asked = "Is it switched on and connected to the network?"
        if not self.is_listed:
            return asked
        return f"{asked} Try: {on_node(self.node.name, 'true', root=False)}"

    def _not_led_on(self) -> str | None:
        """What is behind the last jump host that let us in, and cannot be reached from there."""
        told, way = self.call.told, self.ssh.jumps(self.call.told, self.call)
        passed = len(_LET_IN.findall(self.said))
        if not 0 < passed <= len(way):
            return None
        behind = way[passed][1] if passed < len(way) else told
        found = _NOT_LED_ON.search(self.said)
        return (
            f"{self._jump_host(way, passed - 1).where}: from there {behind.host} port "
            f"{behind.port} does not answer ({one_line(found[1] if found else _LEADS_NOWHERE)})."
        )

    def _jump_host(self, way: Sequence[tuple[str, Told]], number: int) -> _Machine:
        jump, its = way[number]
        before = ("-J", ",".join(jump for jump, _ in way[:number])) if number else ()
        at = _at(its.user, its.host, its.port)
        where = f"Connecting to {self.node.name} through its jump host {_name(jump)} ({at})"
        by_hand = (*before, *destination(jump))
        return _Machine(where, by_hand, self._known_hosts(), its.keys, _name(jump))

    def _known_hosts(self) -> str:
        listed = self.call.told.one("userknownhostsfile", KNOWN_HOSTS)
        return self.node.known_hosts or listed.split(" ")[0]

    def _machine(self, host: str = "", port: str = "", *, user: str = "") -> _Machine:
        """The machine that is meant: the node, or one on the way to it."""
        where = f"Connecting to {self.node.name}"
        told, known = self.call.told, self._known_hosts()
        # OpenSSH says so of the node, beyond a machine that failed.
        if not (told.is_led and _TURNED_AWAY.search(self.said)):
            options = (*_of_the_way(self.call.kept), *_port(told.port))
            named = f"{self.node.user}@" if self.node.user else ""
            by_hand = (*options, f"{named}{self.node.address}")
            where = f"{where} ({_at(told.user, told.host, told.port)})"
            keys = (self.node.key_file,) if self.node.key_file else told.keys
            return _Machine(where, by_hand, known, keys)
        way = self.ssh.jumps(told, self.call)
        for number, (_, its) in enumerate(way):
            names = (its.host.lower(), its.one("hostkeyalias").lower(), "")
            if host.lower() in names and port in ("", its.port) and user in ("", its.user):
                return self._jump_host(way, number)
        named = _at(user, host, port) or "its ProxyCommand"
        return _Machine(f"{where} through {named}", (*_port(port), host), known, (), host)

    def _in_vain(self, machine: _Machine) -> str:
        if self.why.of_windows:
            return (
                f"{machine.where}: login works, but it is a Windows machine. Put it in group "
                "windows_hosts, and its Linux guest in group cluster, as shown in docs/pcs.md."
            )
        return (
            f"{machine.where}: login works, but no program starts: {self.why}. A node needs a "
            f"Unix login shell. Try: {on_node(self.node.name, 'echo ok', root=False)}"
        )

    def _about_host_key(self, machine: _Machine, found: re.Match[str]) -> str:
        known = as_value(machine.known_hosts)
        look = shlex.join(
            (
                *("ssh", "-o", "StrictHostKeyChecking=ask", "-o", "GlobalKnownHostsFile=/dev/null"),
                *("-o", f"UserKnownHostsFile={known}", *machine.by_hand, "true"),
            )
        )
        if found.re is _UNKNOWN:
            return (
                f"{machine.where}: its host key is not in {machine.known_hosts}. Compare the "
                "fingerprint that this command shows with the machine's own, and answer yes if "
                f"they match: {look}"
            )
        if found.re is _REVOKED:
            return (
                f"{machine.where}: its host key is marked as revoked in {machine.known_hosts}, "
                "so it may be a different machine."
            )
        listed = match[1] if (match := _OFFENDING.search(self.said)) else machine.known_hosts
        return (
            f"{machine.where}: its host key is not the one in {listed}. Either the machine was "
            "reinstalled, or another host is answering at this address. If you know why it "
            f"changed: {shlex.join(('ssh-keygen', '-R', found[1], '-f', listed))} && {look}"
        )

    def unused_key(self) -> str | None:
        """Why a key was not even offered, and the remedy; None where all were."""
        found = _DENIED.search(self.said)
        return found and self._unused(self._machine(found[2], user=found[1]))

    def _unused(self, machine: _Machine) -> str | None:
        if (self.node.key_file or "").endswith(".pub") and machine.jump is None:
            return (
                f"the key {self.node.key_file} is the public key, and no agent has the private "
                "one. Name the private key as `ansible_ssh_private_key_file` in the inventory."
            )
        if found := _OPEN_KEY.search(self.said):
            return (
                f"the key {found[1]} is ignored, because other users may read it. "
                f"{shlex.join(('chmod', '600', found[1]))}"
            )
        for key in machine.keys:
            if _is_locked(self.ssh.project / Path(key).expanduser(), self.call):
                return (
                    f"its key {key} has a passphrase and is not loaded in an agent. "
                    f"{shlex.join(('ssh-add', key))}"
                )
        return None

    def _not_let_in(self, machine: _Machine) -> str:
        if unused := self._unused(machine):
            return f"{machine.where}: {unused}"
        if machine.jump is not None:
            return (
                f"{machine.where}: it accepts none of your keys. Name its user and key in "
                f"~/.ssh/config (`User`, `IdentityFile`) below `Host {machine.jump}`."
            )
        if self.node.ssh.password is not None:
            return (
                f"{machine.where}: it does not accept the password. Correct `ansible_user` and "
                "`ansible_password` in the inventory."
            )
        return (
            f"{machine.where}: it does not accept the key "
            f"{self.node.key_file or 'that SSH offers'}. Add the public key"
            " to ~/.ssh/authorized_keys there, or correct `ansible_user` and "
            "`ansible_ssh_private_key_file` in the inventory."
        )


def _of_the_way(kept: Sequence[str]) -> list[str]:
    """Options without those that a command by hand has itself, or does not need."""
    words: list[str] = []
    for word, before in zip(kept, ["", *kept], strict=False):
        words.append(word)
        if before == "-o" and re.split(r"[\s=]", word, maxsplit=1)[0].lower() in _NOT_OF_THE_WAY:
            del words[-2:]
    return words


def _telling(said: str) -> list[str]:
    """Return the lines that show a cause, not those that follow from a jump host's failure."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    lines = [line for line in lines if not _LET_IN.match(line)]
    first = [line for line in lines if not _TURNED_AWAY.search(line)]
    return [line.removeprefix("ssh: ") for line in (first or lines)[-3:]]


def _split(name: str) -> tuple[str, str]:
    """Host and port of a name as a file of host keys has it."""
    host, _, port = name.removeprefix("[").partition("]:")
    return host, port


def _at(user: str, host: str, port: str) -> str:
    return (f"{user}@" if user else "") + host + (f" port {port}" if port else "")


def _name(jump: str) -> str:
    """What a jump host is called, without user and port."""
    return destination(jump)[-1].rpartition("@")[2]


def _port(port: str) -> tuple[str, ...]:
    return () if port in ("", str(SSH_PORT)) else ("-p", port)


def _is_locked(key: Path, call: Call) -> bool:
    """Return whether a key has a passphrase and is not in the agent."""
    fingerprint = _printed(("ssh-keygen", "-lf", str(key)), call)
    if fingerprint is None or _printed(("ssh-keygen", "-y", "-P", "", "-f", str(key)), call):
        return False
    return fingerprint.split()[1] not in (_printed(("ssh-add", "-l"), call) or "")


def _printed(argv: Sequence[str], call: Call) -> str | None:
    """What a program prints; None if it fails."""
    try:
        done = subprocess.run(
            argv,
            env=call.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=KEY_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
