"""How OpenSSH's client is called for a node: as Ansible calls it, and with the project's rules.

Ansible connects with OpenSSH. So does the runner, with the same options: what the user's
configuration, agent, keys, certificates and jump hosts are to Ansible they are here. Three things
are not left to them: that every host key on the way is known, that no question is asked, and that
the program at the end of the way can be talked to.
"""

from __future__ import annotations

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
from experiments.nodes.ssh.arguments import destination, kept_arguments
from experiments.nodes.ssh.askpass import PasswordPipe
from experiments.nodes.ssh.rules import (
    BOUNDED,
    CHECKED,
    CHECKED_OPTIONS,
    KNOWN_HOSTS,
    ONLY_THERE,
    SSH_PORT,
    TALKING,
    WITH_PASSWORD,
    WITHOUT_PASSWORD,
    as_options,
    as_value,
)

READ_S = 30
"""`Match exec` runs programs."""
MOST_JUMPS = 16
SYSTEM_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
SLOW_EXCHANGE = "sntrup761"

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
        kept, config = kept_arguments(node, self.project)
        rules = self._rules_for(node.known_hosts or KNOWN_HOSTS, config)
        environment = {
            **os.environ,
            "LC_ALL": "C",  # its messages are read
            "SSH_ASKPASS_REQUIRE": "never",
            "PATH": f"{rules.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }
        settings = {**BOUNDED, **CHECKED, **TALKING, **ONLY_THERE, **self._login(node)}
        options = [*as_options(settings), *kept]
        options += as_options({"UserKnownHostsFile": as_value(KNOWN_HOSTS)})
        calling = [program, "-F", str(rules)]
        told = self._told([*calling, *options], node.address, environment)
        options = [*as_options({"KexAlgorithms": _quickest_first(told)}), *options]
        way = told.one("proxycommand")
        led = _QUIET_SSH.sub(r"\1", way)
        if found := _SSH_BY_PATH.match(led):
            rest = led[found.end() :]
            led = f"{found[0]} -F {shlex.quote(str(rules))} {CHECKED_OPTIONS}{rest}"
        if led != way:
            options = [*as_options({"ProxyCommand": led}), *options]
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
                f'-F {shlex.quote(str(path))} {CHECKED_OPTIONS} "$@"\n'
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


def _quickest_first(told: Told) -> str:
    """The key exchanges that may be used, those last that take 0.15 s of CPU on either side."""
    allowed = told.one("kexalgorithms").split(",")
    return ",".join(sorted(allowed, key=lambda name: name.startswith(SLOW_EXCHANGE)))


def _has_another_home() -> bool:
    """Whether HOME is not the account's, at which OpenSSH looks."""
    return Path.home() != Path(pwd.getpwuid(os.getuid()).pw_dir)
