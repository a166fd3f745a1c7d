"""How OpenSSH's client is called for a node: as Ansible calls it, and with the project's rules.

Ansible connects with OpenSSH. So does the runner, with the same options: what the user's
configuration, agent, keys, certificates and jump hosts are to Ansible they are here. Three things
are not left to them: that every host key on the way is known, that no question is asked, and that
the program at the end of the way can be talked to.
"""

from __future__ import annotations

import getopt
import os
import pwd
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from core.errors import HerdError
from core.foreign import one_line
from experiments.fleet.cluster import Node
from experiments.nodes.ssh.askpass import PasswordPipe

CONNECT_S = 10
KNOWN_HOSTS = "inventory/known_hosts"  # as in ansible.cfg
OUR_CONFIG = "ssh.cfg"
"""Ansible's part of the same rules, as ansible.cfg names it."""
READ_S = 30
"""`Match exec` runs programs."""
SSH_PORT = 22
MOST_JUMPS = 16
SYSTEM_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
ALL_OPTIONS = "1246ab:c:e:fgi:kl:m:no:p:qstvxAB:CD:E:F:GI:J:KL:MNO:P:Q:R:S:TVw:W:XYy"
KEPT_OPTIONS = frozenset("46bBcCiIJklmop")
"""Those that say how to reach a machine. The others say what to do there, and what to print."""

SLOW_EXCHANGE = "sntrup761"

CHECKED: Mapping[str, str] = {
    "StrictHostKeyChecking": "yes",
    "VerifyHostKeyDNS": "no",
    "NoHostAuthenticationForLocalhost": "no",
    "UpdateHostKeys": "no",
}
"""For every machine on the way: only keys in a file are accepted, and none is written."""
BOUNDED: Mapping[str, str] = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT_S),
    "ConnectionAttempts": "1",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "LogLevel": "ERROR",
    "PermitLocalCommand": "no",
}
"""For every machine on the way: no questions, a limit on silence, only failures printed."""
TALKING: Mapping[str, str] = {
    "ControlMaster": "no",
    "ControlPath": "none",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "SessionType": "default",
    "ForkAfterAuthentication": "no",
    "StdinNull": "no",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "Tunnel": "no",
    "NumberOfPasswordPrompts": "1",
}
"""For the node: a separate connection to one program."""
ONLY_THERE: Mapping[str, str] = {
    "GlobalKnownHostsFile": "/dev/null",
    "KnownHostsCommand": "none",
    "CheckHostIP": "no",
}
"""For the node: its key is in the inventory's file and nowhere else."""
WITHOUT_PASSWORD: Mapping[str, str] = {
    "KbdInteractiveAuthentication": "no",
    "PreferredAuthentications": "gssapi-with-mic,gssapi-keyex,hostbased,publickey",
    "PasswordAuthentication": "no",
}
"""As Ansible has it."""
WITH_PASSWORD: Mapping[str, str] = {"BatchMode": "no"}
_PLAIN = re.compile(r"[\w/.~+-]+", re.ASCII)
_BAD_PERMISSIONS = re.compile(r"Bad owner or permissions on (.+)")
_SSH_BY_PATH = re.compile(r"""(["']?)\S*/ssh\1(?=\s)""")
_QUIET_SSH = re.compile(
    r"""^((["']?)(?:\S*/)?ssh\2(?:\s+-[46AaCkTv]+|\s+-[FiJlopW]\s*\S+)*)\s+-q(?=\s)"""
)
"""A `ProxyCommand` that keeps silent about why it fails, as Ansible's own example does."""


@dataclass(frozen=True, slots=True)
class Told:
    """The configuration of a machine.

    Attributes:
        options: each option in small letters to its values, as `ssh -G` prints them.
    """

    options: Mapping[str, list[str]]

    def one(self, option: str, otherwise: str = "none") -> str:
        """The value of an option."""
        return self.options.get(option, [otherwise])[0]

    @property
    def host(self) -> str:
        """Name or address of its SSH server."""
        return self.one("hostname")

    @property
    def port(self) -> str:
        """Its port."""
        return self.one("port")

    @property
    def user(self) -> str:
        """Who logs in."""
        return self.one("user")

    @property
    def jumps(self) -> tuple[str, ...]:
        """Machines to pass before it, as they are called."""
        named = self.one("proxyjump")
        return () if named == "none" else tuple(named.split(","))

    @property
    def keys(self) -> tuple[str, ...]:
        """Files of keys with which it is tried."""
        return tuple(self.options.get("identityfile", ()))

    @property
    def is_led(self) -> bool:
        """Whether something else makes the connection."""
        return bool(self.jumps) or self.one("proxycommand") != "none"


@dataclass(frozen=True, slots=True)
class Call:
    """A call of OpenSSH's client.

    Attributes:
        argv: all of it, with the program to run on the node.
        environment: for it.
        rules: the configuration that it reads.
        kept: options of the inventory and ansible.cfg in it.
        told: the node's configuration.
        answer: the answer of OpenSSH if the node asks for a password.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    rules: Path
    kept: tuple[str, ...]
    told: Told
    answer: PasswordPipe | None = None


class OpenSsh:
    """Makes calls; their files are in a separate folder until `close`.

    Args:
        project: folder that relative paths begin at, and in which OpenSSH runs, as for Ansible.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._rules: dict[tuple[str, str | None], Path] = {}
        self._told_by: dict[tuple[str, ...], Told] = {}
        self._lock = Lock()

    def call(self, node: Node, command: str) -> Call:
        """How a program is started on a node.

        Raises:
            HerdError: OpenSSH is not installed, the configuration cannot be read, or the
                inventory asks for what cannot be followed; the message says where and what.
        """
        program = self._program(node)
        kept, config = _kept(node, self.project)
        rules = self._rules_for(node.known_hosts or KNOWN_HOSTS, config)
        environment = {
            **os.environ,
            "LC_ALL": "C",  # its messages are read
            "SSH_ASKPASS_REQUIRE": "never",
            "PATH": f"{rules.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }
        settings = {**BOUNDED, **CHECKED, **TALKING, **ONLY_THERE, **self._login(node)}
        options = [*_options(settings), *kept]
        options += _options({"UserKnownHostsFile": as_value(KNOWN_HOSTS)})
        calling = [program, "-F", str(rules)]
        told = self._told([*calling, *options], node.address, environment)
        options = [*_options({"KexAlgorithms": _quickest_first(told)}), *options]
        way = told.one("proxycommand")
        led = _QUIET_SSH.sub(r"\1", way)
        if found := _SSH_BY_PATH.match(led):
            rest = led[found.end() :]
            led = f"{found[0]} -F {shlex.quote(str(rules))} {_CHECKED_OPTIONS}{rest}"
        if led != way:
            options = [*_options({"ProxyCommand": led}), *options]
        argv = (*calling, *options, "--", node.address, command)
        call = Call(argv, environment, rules, tuple(kept), told)
        self.jumps(told, call)
        if node.ssh.password is None:
            return call
        host = told.one("hostkeyalias", told.host.lower())
        answer = PasswordPipe(rules.parent, node.ssh.password, told.user, host)
        return replace(call, environment={**environment, **answer.environment}, answer=answer)

    def jumps(self, told: Told, call: Call) -> list[tuple[str, Told]]:
        """The jump hosts before a machine, in the order in which they are passed.

        The first has its own route where the configuration says so.

        Raises:
            HerdError: the configuration cannot be read, or they lead in a circle, in which OpenSSH
                would start itself for ever.
        """
        way = [(jump, self._of_jump(jump, call)) for jump in told.jumps]
        while way and way[0][1].jumps:
            before = [(jump, self._of_jump(jump, call)) for jump in way[0][1].jumps]
            if before[-1][0] == way[0][0]:  # `ProxyJump` below `Host *` is for the others
                break
            way = [*before, *way]
            if len(way) > MOST_JUMPS:
                named = ", ".join(jump for jump, _ in way[:4])
                raise HerdError(
                    f"Connecting to {told.host}: its jump hosts in ~/.ssh/config form a loop, "
                    f"or there are more than {MOST_JUMPS}: {named} …"
                )
        return way

    def _of_jump(self, jump: str, call: Call) -> Told:
        *options, named = destination(jump)
        argv = [call.argv[0], "-F", str(call.rules), *options]
        return self._told(argv, named, call.environment)

    def close(self) -> None:
        """Take the files away."""
        with self._lock:
            folder, self._folder, self._rules, self._told_by = self._folder, None, {}, {}
        if folder is not None:
            folder.cleanup()

    def _program(self, node: Node) -> str:
        """OpenSSH's client, by its path: on the PATH of what it starts another one comes first."""
        named = os.path.expanduser(node.ssh.executable)  # noqa: PTH111 - a name may have no folder
        found = shutil.which(str(self.project / named) if os.sep in named else named)
        if found is None:
            raise HerdError(
                f"Connecting to {node.name}: {one_line(named, 80)} is not installed. Install "
                "OpenSSH's client."
            )
        return found

    def _login(self, node: Node) -> dict[str, str]:
        """Return the options for a node's inventory settings, as Ansible builds them."""
        settings: dict[str, str] = {}
        if node.known_hosts:
            settings["UserKnownHostsFile"] = as_value(node.known_hosts)
        if node.port != SSH_PORT:
            settings["Port"] = str(node.port)
        if node.user:
            settings["User"] = f'"{node.user}"'
        if node.key_file:
            self._must_exist(node, node.key_file)
            settings["IdentityFile"] = f'"{os.path.expanduser(node.key_file)}"'  # noqa: PTH111
        return {**settings, **(WITHOUT_PASSWORD if node.ssh.password is None else WITH_PASSWORD)}

    def _must_exist(self, node: Node, key_file: str) -> None:
        path = self.project / Path(key_file).expanduser()
        # An agent may have the private half; and OpenSSH puts what it knows in place of %d.
        if "%" not in key_file and not path.exists() and not Path(f"{path}.pub").exists():
            raise HerdError(
                f"Connecting to {node.name}: its key {path} does not exist. Correct "
                "`ansible_ssh_private_key_file` in the inventory."
            )

    def _rules_for(self, known_hosts: str, config: str | None) -> Path:
        """A configuration that begins with our rules, followed by the user's.

        Jump hosts are passed by an `ssh` that OpenSSH starts with this file and no other option. A
        `ProxyCommand` that starts one finds ours first, which adds the same.
        """
        with self._lock:
            if (known_hosts, config) in self._rules:
                return self._rules[known_hosts, config]
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="herd-ssh-")
            folder = Path(self._folder.name) / str(len(self._rules))
            folder.mkdir()
            path = folder / "config"
            path.write_text(self._text(known_hosts, config), encoding="utf-8")
            (folder / "ssh").write_text(
                f"#!/bin/sh\nexec {shlex.quote(shutil.which('ssh') or 'ssh')} "
                f'-F {shlex.quote(str(path))} {_CHECKED_OPTIONS} "$@"\n'
            )
            (folder / "ssh").chmod(0o700)
            self._rules[known_hosts, config] = path
            return path

    def _text(self, known_hosts: str, config: str | None) -> str:
        own = Path.home() / ".ssh"
        files = [known_hosts, str(own / "known_hosts"), *SYSTEM_KNOWN_HOSTS]
        settings = {**BOUNDED, **CHECKED, "GlobalKnownHostsFile": " ".join(map(as_value, files))}
        included = ["/etc/ssh/ssh_config"]
        if config is not None:
            included = [] if config == "none" else [str(self.project / Path(config).expanduser())]
        elif _has_another_home():
            included = [str(own / "config"), *included]
        else:
            included = ["~/.ssh/config", *included]
        lines = [f"{name} {value}" for name, value in settings.items()]
        lines += [f"Include {as_value(path)}" for path in included]
        return "\n".join(lines) + "\n"

    def _told(self, argv: Sequence[str], named: str, environment: Mapping[str, str]) -> Told:
        """What OpenSSH itself says that it would do. It is asked once."""
        asked = (*argv, "-G", "--", named)
        if asked in self._told_by:
            return self._told_by[asked]
        doing = f"Reading the SSH configuration of {one_line(named, 80)}"
        try:
            done = subprocess.run(
                asked,
                cwd=self.project,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=READ_S,
                check=False,
            )
        except OSError as error:
            raise HerdError(f"{doing}: {argv[0]} cannot be run ({error.strerror}).") from None
        except subprocess.TimeoutExpired:
            raise HerdError(f"{doing}: ssh -G did not finish within {READ_S} s.") from None
        if done.returncode != 0:
            said = one_line(done.stderr.decode("utf-8", "replace").replace("\r", ""))
            if "option: sessiontype" in said:
                raise HerdError(f"{doing}: its OpenSSH is too old. Install version 8.7 or newer.")
            if found := _BAD_PERMISSIONS.search(said):
                raise HerdError(
                    f"{doing}: {found[1]} is ignored, because other users own it or may write "
                    f"to it. {shlex.join(('chmod', 'go-w', found[1]))}"
                )
            raise HerdError(
                f"{doing}: {said}. Ansible needs it, too. Try ssh -G -- {shlex.quote(named)}"
            )
        options: dict[str, list[str]] = {}
        for line in done.stdout.decode("utf-8", "replace").splitlines():
            key, _, value = line.partition(" ")
            options.setdefault(key, []).append(value)
        told = Told(options)
        with self._lock:
            self._told_by[asked] = told
        return told


def told_of(node: Node, project: Path) -> Told:
    """Return the configuration of a node.

    Raises:
        HerdError: as `OpenSsh.call`.
    """
    ssh = OpenSsh(project)
    try:
        return ssh.call(node, "true").told
    finally:
        ssh.close()


def destination(jump: str) -> tuple[str, ...]:
    """A jump host, written as `[ssh://][user@]host[:port]`, as words of a command line."""
    user, at, place = jump.removeprefix("ssh://").removesuffix("/").rpartition("@")
    host, _, rest = place[1:].partition("]") if place.startswith("[") else _parted(place)
    port = rest.removeprefix(":")
    return (*(("-p", port) if port else ()), f"{user}{at}{host}")


def _parted(place: str) -> tuple[str, str, str]:
    return place.partition(":") if place.count(":") == 1 else (place, "", "")


def _kept(node: Node, project: Path) -> tuple[list[str], str | None]:
    """Those of Ansible's arguments that say how to reach a node, and the configuration (`-F`)."""
    arguments = list(node.ssh.arguments)
    try:
        options, rest = getopt.getopt(arguments, ALL_OPTIONS)
    except getopt.GetoptError as error:
        raise HerdError(_not_followed(node, str(error))) from None
    if rest:
        raise HerdError(
            _not_followed(node, f"`{one_line(rest[0], 80)}` is not an option")
            + " A value with spaces must be quoted: -o ProxyCommand='ssh -W %h:%p jump'"
        )
    config, kept = None, []
    for option, value in options:
        if option == "-F":
            config = None if value == OUR_CONFIG else value
        elif option[1] in KEPT_OPTIONS:
            kept += [option, value] if f"{option[1]}:" in ALL_OPTIONS else [option]
    if config == os.devnull:  # OpenSSH includes no device
        config = "none"
    if config not in (None, "none") and not (project / Path(config).expanduser()).exists():
        raise HerdError(_not_followed(node, f"`-F {one_line(config, 80)}` does not name a file"))
    return kept, config


def _not_followed(node: Node, why: str) -> str:
    return (
        f"Connecting to {node.name}: in the SSH arguments from the inventory and ansible.cfg "
        f"(`ansible_ssh_common_args` and the like), {why}."
    )


def _quickest_first(told: Told) -> str:
    """The key exchanges that may be used, those last that take 0.15 s of CPU on either side."""
    allowed = told.one("kexalgorithms").split(",")
    return ",".join(sorted(allowed, key=lambda name: name.startswith(SLOW_EXCHANGE)))


def _options(settings: Mapping[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def as_value(path: str) -> str:
    """A path as one word of a configuration, in which OpenSSH puts nothing in place of a `%`."""
    if _PLAIN.fullmatch(path):
        return path
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def _has_another_home() -> bool:
    """Whether HOME is not the account's, at which OpenSSH looks."""
    return Path.home() != Path(pwd.getpwuid(os.getuid()).pw_dir)


_CHECKED_OPTIONS = shlex.join(_options(CHECKED))
