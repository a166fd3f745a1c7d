"""Whatever Ansible reaches the runner reaches, and neither passes a machine whose key is unknown.

Each setting is a host of one inventory; Ansible and the runner go to all of them, over real SSH
servers on loopback: a node, two jump hosts, and one whose key is in no file.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from core.errors import HerdError
from experiments.fleet.inventory import read_cluster
from experiments.fleet.programs import beside_python
from experiments.nodes.ssh.launcher import SshLauncher
from experiments.nodes.ssh.rules import CHECKED, ONLY_THERE
from experiments.nodes.together import in_parallel
from tests.doubles.sshd import Sshd, agent, make_key, sshd

PROJECT = Path(__file__).resolve().parents[2]
ME = pwd.getpwuid(os.getuid()).pw_name
LOCK = "correct horse"
ANSIBLE_S = 120


@dataclass(frozen=True)
class World:
    """The servers and the project in which they are known.

    Attributes:
        project: folder with `ansible.cfg`.
        node: the machine to reach.
        jump: a jump host that is known.
        second: another.
        stranger: a jump host whose key is in no file.
    """

    project: Path
    node: Sshd
    jump: Sshd
    second: Sshd
    stranger: Sshd


Setting = Mapping[str, object]


def config(world: World, name: str, text: str, *, ours: bool = True) -> dict[str, object]:
    """A configuration of the user's own, given by `-F`."""
    path = world.project / f"{name}.conf"
    first = f"Include {world.project}/ssh.cfg\n" if ours else ""
    path.write_text(f"{first}Host {name}\n  HostName 127.0.0.1\n  Port {world.node.port}\n{text}\n")
    return {"ansible_host": name, "ansible_ssh_common_args": f"-F {path}"}


def reached(world: World) -> dict[str, Setting]:
    """Settings with which a node is reached."""
    node, jump, second = world.node, world.jump, world.second
    at = {"ansible_host": "127.0.0.1", "ansible_port": node.port, "ansible_user": ME}
    common = "ansible_ssh_common_args"
    over = f"{ME}@127.0.0.1:{jump.port}"
    known = "-o UserKnownHostsFile=inventory/known_hosts"  # as ansible.cfg's, which this replaces
    led = f"-F ssh.cfg -W %h:%p -p {jump.port}"
    shell = world.project / "relay"
    shell.write_text('#!/bin/sh\nexec ssh -F ssh.cfg -W "$1:$2" -p "$3" "$4@127.0.0.1"\n')
    shell.chmod(0o700)
    included = world.project / "included.conf"
    included.write_text(f"ProxyJump {over}\n")
    passing = world.project / "passing.py"
    passing.write_text(
        "import socket, sys\n"
        "made = socket.create_connection(sys.argv[1:3])\n"
        "socket.send_fds(socket.socket(fileno=1), [b'x'], [made.fileno()])\n"
    )
    return {
        "plain": at,
        "old-names": {
            "ansible_ssh_host": "127.0.0.1",
            "ansible_ssh_port": node.port,
            "ansible_ssh_user": ME,
        },
        "ipv6": {**at, "ansible_host": "::1"},
        "no-jump": {**at, common: "-o ProxyJump=none"},
        "jump": {**at, common: f"-o ProxyJump={over}"},
        "jump-short": {**at, common: f"-J {over}"},
        "jump-extra": {**at, "ansible_ssh_extra_args": f"-J {over} {known}"},
        "jump-two": {**at, common: f"-J {over},{ME}@127.0.0.1:{second.port}"},
        "jump-ipv6": {**at, common: f"-J {ME}@[::1]:{jump.port}"},
        "command": {
            **at,
            common: f"-o ProxyCommand='ssh -F ssh.cfg -W %h:%p -p {jump.port} -l %r 127.0.0.1'",
        },
        "command-path": {
            **at,
            common: f"-o ProxyCommand='/usr/bin/ssh {led} {ME}@127.0.0.1'",
        },
        "command-script": {**at, common: f"-o ProxyCommand='{shell} %h %p {jump.port} %r'"},
        "alias": config(world, "alias", f"  User {ME}"),
        "config-jump": config(
            world,
            "config-jump",
            f"  ProxyJump bastion\nHost bastion\n  HostName 127.0.0.1\n  Port {jump.port}",
        ),
        "config-match": config(
            world,
            "config-match",
            f'Match originalhost config-match exec "true"\n  ProxyJump {over}',
        ),
        "config-include": config(world, "config-include", f"  Include {included}"),
        "config-canonical": config(
            world,
            "config-canonical",
            "  CanonicalizeHostname always\n  CanonicalDomains invalid\nMatch final originalhost "
            "config-canonical\n"
            f"  ProxyJump {over}",
        ),
        "fdpass": {
            **at,
            common: f"-o ProxyUseFdpass=yes -o ProxyCommand='{sys.executable} {passing} %h %p'",
        },
        "config-none": {**at, common: "-F /dev/null -o StrictHostKeyChecking=yes"},
        "config-alone": config(world, "config-alone", f"  User {ME}", ours=False),
        "hardened": {
            **at,
            common: "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
            "herd_known_hosts": "inventory/known_hosts",
            "ansible_ssh_args": "-o UserKnownHostsFile={{ herd_known_hosts }}",
        },
        "compressed": {**at, common: "-C -4 -o Compression=yes -o ServerAliveInterval=1"},
        "identity": {
            **at,
            "ansible_ssh_private_key_file": "id_locked",
            common: "-o IdentitiesOnly=yes",
        },
        "plain-key": {
            **at,
            "ansible_private_key_file": "id_plain",
            common: "-o IdentityAgent=none",
        },
    }


def refused(world: World) -> dict[str, tuple[Setting, str]]:
    """Settings with which none must be passed, and what the runner says."""
    node, stranger = world.node, world.stranger
    at = {"ansible_host": "127.0.0.1", "ansible_port": node.port, "ansible_user": ME}
    common = "ansible_ssh_common_args"
    over = f"{ME}@127.0.0.1:{stranger.port}"
    careless = f"ProxyJump {over}\nHost *\n  StrictHostKeyChecking"
    unknown = rf"jump host 127\.0\.0\.1 .*port {stranger.port}.*its host key is not in"
    led = rf"through 127\.0\.0\.1 port {stranger.port}: its host key is not in"
    ssh = f"ssh -o StrictHostKeyChecking={{}} -W %h:%p -p {stranger.port} {ME}@127.0.0.1"
    return {
        "stranger": ({**at, common: f"-J {over}"}, unknown),
        "stranger-no": (config(world, "stranger-no", f"  {careless} no"), unknown),
        "stranger-new": (config(world, "stranger-new", f"  {careless} accept-new"), unknown),
        "stranger-command": ({**at, common: f"-o ProxyCommand='{ssh.format('yes')}'"}, led),
        "node-no": (
            {**at, "ansible_port": stranger.port, common: "-o StrictHostKeyChecking=no"},
            "its host key is not in",
        ),
        "node-localhost": (
            {
                **at,
                "ansible_host": "localhost",
                common: "-4 -o NoHostAuthenticationForLocalhost=yes -o VerifyHostKeyDNS=yes",
            },
            "its host key is not in",
        ),
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Servers, an agent with the key that they let in, and a project that knows three of them."""
    project = tmp_path_factory.mktemp("way")
    keys = make_key(project / "id_locked", LOCK) + make_key(project / "id_plain")
    (project / "inventory").mkdir()
    shutil.copy(PROJECT / "ssh.cfg", project)
    # Ansible shares connections between hosts that have address, port and user in common.
    settings = (PROJECT / "ansible.cfg").read_text()
    assert "-o ControlMaster=auto" in settings
    (project / "ansible.cfg").write_text(
        settings.replace("-o ControlMaster=auto", "-o ControlPath=none")
    )
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        names = ("node", "jump", "second", "stranger")
        banner = project / "banner"
        banner.write_text("Permission denied (publickey).\nHost key verification failed.\n")
        made = [
            stack.enter_context(sshd(project / name, keys, f"Banner {banner}")) for name in names
        ]
        known = "".join(server.known() for server in made[:3])
        (project / "inventory" / "known_hosts").write_text(known)
        socket = stack.enter_context(agent(project, project / "id_locked", LOCK))
        patch.setenv("SSH_AUTH_SOCK", socket)
        yield World(project, *made)


def inventory(world: World, hosts: Mapping[str, Setting]) -> str:
    path = world.project / "hosts.json"
    path.write_text(json.dumps({"cluster": {"hosts": hosts}}))
    return str(path)


def by_ansible(world: World, hosts: Mapping[str, Setting]) -> set[str]:
    """Hosts that Ansible reaches."""
    done = subprocess.run(
        [
            beside_python("ansible"),
            *("-i", inventory(world, hosts), "cluster", "-o"),
            *("-m", "ansible.builtin.raw", "-a", "echo reached"),
        ],
        cwd=world.project,
        env={**os.environ, "ANSIBLE_TIMEOUT": "60"},  # twenty at once beside other tests
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ANSIBLE_S,
        check=False,
    )
    # A login shell may print lines of its own first.
    answer = re.compile(
        r"(\S+) \| CHANGED \| rc=0 \| \(stdout\) (?:.*\\n)?reached(?:\\r)?(?:\\n|$| )"
    )
    return {match[1] for line in done.stdout.splitlines() if (match := answer.match(line))}


def by_fab(world: World, hosts: Mapping[str, Setting]) -> dict[str, str]:
    """What the runner hears from each host, or the error."""
    nodes = read_cluster(world.project, inventory(world, hosts), must_resolve=False).nodes
    launcher = SshLauncher(world.project)

    def heard(number: int) -> tuple[str, str]:
        try:
            channel = launcher.run(nodes[number], "echo reached")
            channel.settimeout(20)
            return nodes[number].name, channel.recv(100).decode()
        except HerdError as error:
            return nodes[number].name, str(error)

    try:
        return dict(in_parallel(heard, range(len(nodes))))
    finally:
        launcher.close()


def test_both_reach_the_same(world: World) -> None:
    hosts = reached(world)

    assert by_ansible(world, hosts) == set(hosts)
    by_jump = world.jump.led_on(), world.second.led_on()
    assert by_fab(world, hosts) == dict.fromkeys(hosts, "reached\n")
    assert (world.jump.led_on(), world.second.led_on()) == (2 * by_jump[0], 2 * by_jump[1])


def test_neither_passes_a_machine_whose_key_is_unknown(world: World) -> None:
    hosts = refused(world)

    assert by_ansible(world, {name: setting for name, (setting, _) in hosts.items()}) == set()
    told = by_fab(world, {name: setting for name, (setting, _) in hosts.items()})
    for name, (_, words) in hosts.items():
        assert re.search(words, told[name]), (name, told[name])
    assert world.stranger.led_on() == 0


def test_a_jump_host_that_takes_few_at_once_is_tried_again(world: World, tmp_path: Path) -> None:
    key = (world.project / "id_locked.pub").read_text()
    with sshd(tmp_path / "narrow", key, startups="2:50:4") as narrow:
        (tmp_path / "known").write_text(world.node.known() + narrow.known())
        at = {
            "ansible_host": "127.0.0.1",
            "ansible_port": world.node.port,
            "ansible_user": ME,
            "herd_known_hosts": str(tmp_path / "known"),
            "ansible_ssh_common_args": f"-J {ME}@127.0.0.1:{narrow.port}",
        }
        hosts = {f"node{number}": at for number in range(12)}

        assert by_fab(world, hosts) == dict.fromkeys(hosts, "reached\n")
        assert "drop connection" in narrow.log()


BREAKING = """
  RemoteCommand echo another
  RequestTTY force
  SessionType none
  ForkAfterAuthentication yes
  StdinNull yes
  LogLevel {level}
  LocalForward {port} 127.0.0.1:9
  ExitOnForwardFailure yes
  ForwardX11 yes
  ForwardAgent yes
  VisualHostKey yes
  ControlMaster auto
  ControlPath {folder}/shared
  ControlPersist yes
  PermitLocalCommand yes
  LocalCommand touch {folder}/ran
  SendEnv *
  StrictHostKeyChecking ask
  UserKnownHostsFile /dev/null
  NumberOfPasswordPrompts 9
  BatchMode no
"""


@pytest.mark.parametrize("level", ["QUIET", "DEBUG3"])
def test_settings_that_would_break_a_conversation_do_not(world: World, level: str) -> None:
    port = world.node.port  # it is taken, so a forwarding would fail
    text = BREAKING.format(level=level, port=port, folder=world.project)
    setting = config(world, "breaking", text)
    flags = "-N -n -f -tt -v -q -X -A -g -M -S shared -L 9:127.0.0.1:9 -E said -O check"
    setting["ansible_ssh_extra_args"] = flags

    assert by_fab(world, {"breaking": setting}) == {"breaking": "reached\n"}
    assert not {"ran", "shared", "said"} & {path.name for path in world.project.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            "-o ProxyCommand=ssh -W %h:%p jump",
            r"`jump` is not an option\. A value with spaces must be",
        ),
        ("--jump a", "option --jump not recognized"),
        ("-o Nonsense=1", "[Bb]ad configuration option: nonsense"),
        ("-F nowhere.conf", r"`-F nowhere\.conf` does not name a file"),
        ("-F anybodys.conf", r"anybodys\.conf is ignored, .*\. chmod go-w \S+/anybodys\.conf$"),
    ],
)
def test_arguments_that_cannot_be_followed_are_named(
    world: World, arguments: str, told: str
) -> None:
    at = {"ansible_host": "127.0.0.1", "ansible_port": world.node.port, "ansible_user": ME}
    (world.project / "anybodys.conf").touch()
    (world.project / "anybodys.conf").chmod(0o666)
    heard = by_fab(world, {"node": {**at, "ansible_ssh_common_args": arguments}})

    assert re.search(told, heard["node"]), heard


@pytest.mark.parametrize("rule", ["no", "accept-new", "off", "ask"])
def test_the_runner_looks_into_each_ssh_that_a_proxy_command_starts(
    world: World, rule: str
) -> None:
    stranger, jump = world.stranger, world.jump
    at = {"ansible_host": "127.0.0.1", "ansible_port": world.node.port, "ansible_user": ME}
    careless = f"-o StrictHostKeyChecking={rule} -o UserKnownHostsFile=/dev/null"
    rest = f"{careless} -W %h:%p -p {stranger.port} {ME}@127.0.0.1"
    nested = f"-J {ME}@127.0.0.1:{stranger.port} -W %h:%p -p {jump.port} {ME}@127.0.0.1"
    commands = {
        "bare": f"ssh {rest}",
        "by-path": f"/usr/bin/ssh {rest}",
        "by-quoted-path": f'"/usr/bin/ssh" {rest}',
        "quiet": f"ssh -q {rest}",
        "quiet-by-path": f"/usr/bin/ssh -o StrictHostKeyChecking=no -q {rest}",
        "within": f'sh -c "ssh {rest}"',
        "env": f"env A=b ssh {rest}",
        "nested": f"ssh {careless} {nested}",
        "nested-by-path": f"/usr/bin/ssh {careless} {nested}",
    }
    hosts = {
        name: {**at, "ansible_ssh_common_args": f"-o ProxyCommand='{command}'"}
        for name, command in commands.items()
    }
    inner = f"Host inner\n  HostName 127.0.0.1\n  Port {jump.port}\n  ProxyCommand ssh {rest}"
    hosts["inner"] = config(world, "inner-node", f"  ProxyJump inner\n{inner}", ours=False)
    before = stranger.led_on()

    told = by_fab(world, hosts)

    for name in hosts:
        assert re.search(rf"through .*port {stranger.port}.*its host key is not in", told[name]), (
            name,
            told[name],
        )
    assert stranger.led_on() == before


def test_what_openssh_tells_only_when_asked_for_more_is_told(world: World) -> None:
    node, jump = world.node, world.jump
    at = {"ansible_host": "127.0.0.1", "ansible_port": node.port, "ansible_user": ME}
    common = "ansible_ssh_common_args"
    over = f"{ME}@127.0.0.1:{jump.port}"
    old = config(
        world,
        "old",
        f"  ProxyJump ancient\nHost ancient\n  HostName 127.0.0.1\n  Port {jump.port}\n"
        "  Ciphers 3des-cbc",
    )
    quiet = f"ssh -F ssh.cfg -q -p 1 -W %h:%p {over.partition(':')[0]}"
    hosts = {
        "cipher": ({**at, common: "-c 3des-cbc"}, r"port \d+\): no matching cipher found"),
        "old": (old, r"jump host ancient .*: no matching cipher found"),
        "behind": (
            {**at, "ansible_port": 1, common: f"-J {over}"},
            rf"{jump.port}\): from there .* port 1 does not answer \(connect failed: .* refused\)",
        ),
        "second": (
            {**at, common: f"-J {over},{ME}@127.0.0.1:1"},
            rf"port {jump.port}\): from there 127\.0\.0\.1 port 1 does not answer",
        ),
        "third": (
            {**at, "ansible_port": 1, common: f"-J {over},{ME}@127.0.0.1:{world.second.port}"},
            rf"port {world.second.port}\): from there 127\.0\.0\.1 port 1 does not answer",
        ),
        "quiet": (
            {**at, common: f"-o ProxyCommand='{quiet}'"},
            r"through 127\.0\.0\.1 port 1: it does not answer \(connect to host .*refused",
        ),
    }
    said = by_fab(world, {name: setting for name, (setting, _) in hosts.items()})

    for name, (_, words) in hosts.items():
        assert re.search(words, said[name]), (name, said[name])


def test_a_commands_own_quiet_option_stays_with_it(world: World) -> None:
    relay = world.project / "quiet-relay"
    relay.write_text(
        f"#!/bin/sh\ncd {world.project} && export SSH_AUTH_SOCK={os.environ['SSH_AUTH_SOCK']}\n"
        '[ "$1" = -q ] && exec ssh -F ssh.cfg -W "$2:$3" -p "$4" 127.0.0.1\n'
    )
    relay.chmod(0o700)
    at = {"ansible_host": "127.0.0.1", "ansible_port": world.node.port, "ansible_user": ME}
    led = f"-o ProxyCommand='ssh -F ssh.cfg -p {world.jump.port} 127.0.0.1 {relay} -q %h %p"
    hosts = {"relay": {**at, "ansible_ssh_common_args": f"{led} {world.jump.port}'"}}

    assert by_fab(world, hosts) == {"relay": "reached\n"}


def answered(world: World, command: str, answer: str) -> str:
    """What a person is asked who pastes a remedy into a shell, and who types this answer."""
    ask = world.project / "ask-person"
    ask.write_text(f"#!/bin/sh\necho \"$1\" >>{world.project}/asked\necho '{answer}'\n")
    ask.chmod(0o700)
    environment = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
    (world.project / "asked").unlink(missing_ok=True)
    subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=world.project,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
        start_new_session=True,
    )
    asked = world.project / "asked"
    return asked.read_text() if asked.exists() else ""


def test_the_remedies_for_host_keys_do_what_they_say(world: World, tmp_path: Path) -> None:
    known = tmp_path / "known hosts"
    over = [f"{ME}@127.0.0.1:{server.port}" for server in (world.jump, world.second)]
    known.write_text(world.jump.known().replace(f":{world.jump.port}", f":{world.second.port}"))
    at = {
        "ansible_host": "127.0.0.1",
        "ansible_port": world.node.port,
        "ansible_user": ME,
        "herd_known_hosts": str(known),
        "ansible_ssh_common_args": f"-J {','.join(over)}",
    }
    hosts = {"node": at}
    for words, server in (
        ("jump host 127.0.0.1 .*is not in", world.jump),
        ("jump host 127.0.0.1 .*is not the one in", world.second),
        ("its host key is not in", world.node),
    ):
        (said,) = by_fab(world, hosts).values()
        assert re.search(words, said)
        host = ["ssh-keygen", "-lf", str(server.folder / "host.pub")]
        fingerprint = subprocess.check_output(host, text=True).split()[1]
        command = said[re.search("ssh-keygen -R|ssh -o", said).start() :]  # type: ignore[union-attr]
        assert fingerprint in answered(world, command, "yes")
    assert by_fab(world, hosts) == {"node": "reached\n"}


def test_the_remedies_for_keys_do_what_they_say(world: World, tmp_path: Path) -> None:
    make_key(world.project / "id_other", LOCK)
    (world.project / "id_open").write_bytes((world.project / "id_plain").read_bytes())
    (world.project / "id_open").chmod(0o644)
    alone = {"ansible_ssh_common_args": "-o IdentitiesOnly=yes"}
    at = {"ansible_host": "127.0.0.1", "ansible_port": world.node.port, "ansible_user": ME, **alone}
    hosts = {
        "locked": {**at, "ansible_ssh_private_key_file": "id_other"},
        "open": {**at, "ansible_ssh_private_key_file": "id_open"},
        "missing": {**at, "ansible_ssh_private_key_file": "id_missing"},
        "public": {**at, "ansible_ssh_private_key_file": "id_other.pub"},
    }
    said = by_fab(world, hosts)

    assert (
        "key id_other has a passphrase and is not loaded in an agent. ssh-add id_other"
    ) in said["locked"]
    assert "other users may read it. chmod 600 id_open" in said["open"]
    assert "id_missing does not exist" in said["missing"]
    assert "id_other.pub is the public key, and no agent has the private one" in said["public"]
    assert "passphrase for id_other" in answered(world, "ssh-add id_other", LOCK)
    answered(world, "chmod 600 id_open", "")
    said = by_fab(world, hosts)
    assert "it does not accept the key id_other" in said["locked"]
    assert said["open"] == "reached\n"


def test_ansible_and_the_runner_have_the_same_rules() -> None:
    rules = (PROJECT / "ssh.cfg").read_text()
    for name, value in CHECKED.items():
        assert f"\n{name} {value}\n" in rules
    assert rules.index("Include") > rules.index("GlobalKnownHostsFile inventory/known_hosts")
    defaults = re.search(r"^ssh_args = (.*)$", (PROJECT / "ansible.cfg").read_text(), re.MULTILINE)
    beside = yaml.safe_load((PROJECT / "inventory" / "group_vars" / "all.yml").read_text())
    assert defaults is not None
    wanted = shlex.split(defaults[1])
    told = shlex.split(beside["ansible_ssh_args"].replace("{{ herd_known_hosts }}", "herd"))
    assert set(told) == {*wanted, "UserKnownHostsFile=herd"}
    for name, value in {**CHECKED, **ONLY_THERE}.items():
        assert name in ("UpdateHostKeys", "CheckHostIP") or f"{name}={value}" in wanted
