"""Windows with Linux inside: refused before anything changes, and set up with nobody there."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.doubles.fake_hosts import PROJECT, failures, play, refusals

ROLES = PROJECT / "roles"
WSL, WSL_1 = "6.6.87.2-microsoft-standard-WSL2", "4.4.0-19041-Microsoft"
LIST = "  NAME            STATE           VERSION\r\n{}"
UBUNTU = "* Ubuntu-24.04    Running         2\r\n"
DEBIAN_1 = "  Debian          Wird beendet    1\r\n"


def utf_16(text: str) -> list[str]:
    """Lines as PowerShell reads UTF-16 that it takes for a single-byte encoding."""
    return ("\ufeff" + text).encode("utf-16-le").decode("cp850").split("\n")


def windows(**answers: Any) -> dict[str, Any]:  # noqa: ANN401
    """What the probe answers on a Windows machine that is as it should be."""
    told = {
        "build": 26100,
        "user": "LAPTOP\\alice",
        "system": False,
        "administrator": True,
        "profile": "C:\\Users\\alice",
        "programs": "C:\\Program Files",
        "memory_gib": 31,
        "processors": 16,
        "missing_features": [],
        "version": ["WSL version: 2.4.13.0", "Kernel version: 5.15.167.4-1"],
        "distributions": LIST.format(UBUNTU).splitlines(),
    }
    return {
        "wsl_host_probe": {"result": told | answers},
        "wsl_host_guest": "guest",
        "wsl_host_password": "open sesame",
    }


def guest(**more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"ansible_host": "192.0.2.30", "ansible_port": 2222, "ansible_user": "alice", **more}


# What a Windows machine is or asks for, and what the refusal must say; None: it is let pass.
CASES: dict[str, tuple[dict[str, Any], str | None]] = {
    "as_it_should_be": (windows(), None),
    "nothing_there_yet": (windows(version=[], distributions=[]), None),
    "answers_in_utf_16": (windows(distributions=utf_16(LIST.format(UBUNTU))), None),
    "windows_10_mirrored": (windows(build=19045), "set wsl_host_networking to nat"),
    "windows_10_nat": (windows(build=19045) | {"wsl_host_networking": "nat"}, None),
    "windows_too_old": (
        windows(build=18363) | {"wsl_host_networking": "nat"},
        "needs 19041 or newer",
    ),
    "worker_behind_nat": (
        windows() | {"wsl_host_guest": "worker", "wsl_host_networking": "nat"},
        "no other node would reach its engines",
    ),
    "worker_forwarded_to": (
        windows() | {"wsl_host_guest": "forwarded", "wsl_host_networking": "nat"},
        None,
    ),
    "mirrored_and_forwarded_to": (
        windows() | {"wsl_host_guest": "forwarded"},
        "Remove it",
    ),
    "worker_mirrored": (windows() | {"wsl_host_guest": "worker"}, None),
    "no_guest": (windows() | {"wsl_host_guest": ""}, "another host of the inventory"),
    "guest_not_in_the_inventory": (
        windows() | {"wsl_host_guest": "nobody"},
        "wsl_host_guest of guest_not_in_the_inventory is 'nobody'",
    ),
    "guest_of_root": (windows() | {"wsl_host_guest": "of_root"}, "not root"),
    "guest_on_port_22": (windows() | {"wsl_host_guest": "on_22"}, "other than 22"),
    "no_key": (windows() | {"wsl_host_public_key_file": "/nowhere/id.pub"}, "/nowhere/id.pub"),
    "system": (windows(system=True), "is the system itself"),
    "no_administrator": (windows(administrator=False), "is not an administrator"),
    "all_the_memory": (windows() | {"wsl_host_memory_gib": 31}, "leave Windows something"),
    "some_memory": (windows() | {"wsl_host_memory_gib": 30, "wsl_host_processors": 16}, None),
    "too_many_processors": (windows() | {"wsl_host_processors": 17}, "16 processors"),
    "wsl_1": (
        windows(distributions=utf_16(LIST.format(UBUNTU + DEBIAN_1)))
        | {"wsl_host_distribution": "Debian"},
        "wsl --set-version Debian 2",
    ),
    "boot_without_password": (windows() | {"wsl_host_password": ""}, "set wsl_host_password"),
    "logon_without_password": (
        windows() | {"wsl_host_password": "", "wsl_host_keep_alive": "logon"},
        None,
    ),
}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "id_ed25519"
    path.with_name("id_ed25519.pub").write_text("ssh-ed25519 AAAA alice\n")
    return path


@pytest.fixture(scope="module")
def fleet(key: Path) -> dict[str, dict[str, Any]]:
    """The guests and the Windows machines that they belong to."""
    others = {
        "guest": guest(),
        "worker": guest(ansible_host="192.0.2.31"),
        "forwarded": guest(ansible_host="192.0.2.32", herd_forwarded_from="172.16.0.0/12"),
        "of_root": guest(ansible_user="root"),
        "on_22": guest(ansible_port=22),
    }
    for host in others.values():
        host["ansible_ssh_private_key_file"] = str(key)
    return others | {name: host for name, (host, _) in CASES.items()}


CLUSTER = {"cluster": ["guest", "worker", "forwarded"]}


@pytest.fixture(scope="module")
def refused(
    fleet: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("wsl_host")
    return refusals(folder, "wsl_host", fleet, groups=CLUSTER, only=list(CASES))


@pytest.mark.parametrize("name", CASES)
def test_each_windows_is_refused_or_let_pass(refused: dict[str, str], name: str) -> None:
    words = CASES[name][1]
    if words is None:
        assert name not in refused
    else:
        assert words in refused[name]


ASKED = {
    "mirrored": windows()
    | {"wsl_host_memory_gib": 12, "wsl_host_processors": 8, "wsl_host_swap_gib": 2},
    "nat": windows(
        version=utf_16("WSL-Version: 2.3.26.0\r\nKernelversion: 5.15\r\n"),
        distributions=utf_16(LIST.format(UBUNTU + DEBIAN_1)),
    )
    | {"wsl_host_networking": "nat"},
    "nat_worker": windows() | {"wsl_host_networking": "nat", "wsl_host_guest": "forwarded"},
}  # fmt: skip


@pytest.fixture(scope="module")
def worked_out(
    fleet: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What the role works out and writes for both kinds of networking."""
    names = ("version", "distributions", "open", "known_as", "wishes", "inside")
    expressions = {name: f"{{{{ wsl_host_{name} }}}}" for name in names}
    for name in ("wslconfig", "keep-alive.ps1"):
        template = ROLES / "wsl_host" / "templates" / f"{name}.j2"
        expressions[name] = f"{{{{ lookup('ansible.builtin.template', '{template}') }}}}"
    include = {"name": "wsl_host", "tasks_from": "refuse", "public": True}
    tasks: list[dict[str, Any]] = [
        {"ansible.builtin.include_role": include},
        {"name": "Values", "ansible.builtin.debug": {"msg": expressions}},
    ]
    hosts = {name: fleet[name] for name in CLUSTER["cluster"]} | ASKED
    folder = tmp_path_factory.mktemp("wsl_host")
    account = play(folder, hosts, tasks, groups=CLUSTER, only=list(ASKED))
    assert failures(account) == {}
    told = account["plays"][0]["tasks"][-1]["hosts"]
    return {host: result["msg"] for host, result in told.items()}


def test_windows_lets_in_no_address_that_leads_a_node_to_itself(
    fleet: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    hosts = {**fleet, "guest": {**fleet["guest"], "ansible_host": "127.0.0.1"}}

    told = refusals(tmp_path, "wsl_host", hosts, groups=CLUSTER, only=["as_it_should_be"])

    assert "Set `herd_cluster_address` of guest" in told["as_it_should_be"]


def test_utf_16_and_other_languages_are_understood(worked_out: dict[str, dict[str, Any]]) -> None:
    assert worked_out["mirrored"]["version"] == "2.4.13"
    assert worked_out["nat"]["version"] == "2.3.26"
    assert worked_out["mirrored"]["distributions"] == {"Ubuntu-24.04": "2"}
    assert worked_out["nat"]["distributions"] == {"Ubuntu-24.04": "2", "Debian": "1"}


def test_only_the_clusters_nodes_reach_engines(worked_out: dict[str, dict[str, Any]]) -> None:
    nodes = ["192.0.2.30", "192.0.2.31", "192.0.2.32"]
    ssh, engines = worked_out["mirrored"]["open"]
    assert (ssh["ports"], ssh["from"]) == (["2222"], ["LocalSubnet", *nodes])
    assert (engines["ports"], engines["from"]) == (["9990-9999", "50052-50061"], nodes)
    assert worked_out["nat"]["open"] == [ssh]
    assert worked_out["nat_worker"]["open"] == [ssh, engines]


def test_the_guests_share_of_the_machine_is_written(worked_out: dict[str, dict[str, Any]]) -> None:
    assert worked_out["mirrored"]["wslconfig"].splitlines()[1:] == [
        "[wsl2]",
        "memory=12GB",
        "processors=8",
        "swap=2GB",
        "networkingMode=mirrored",
        "firewall=true",
    ]
    assert worked_out["nat"]["wslconfig"].splitlines()[1:] == [
        "[wsl2]",
        "swap=0",
        "networkingMode=nat",
    ]


def test_ports_are_led_to_a_guest_behind_nat_alone(worked_out: dict[str, dict[str, Any]]) -> None:
    engines = [*range(9990, 10000), *range(50052, 50062)]
    for name, ports in (("nat", [2222]), ("nat_worker", [2222, *engines])):
        told = f"foreach ($port in {', '.join(map(str, ports))})"
        assert told in worked_out[name]["keep-alive.ps1"]
    assert "portproxy" not in worked_out["mirrored"]["keep-alive.ps1"]
    for told in worked_out.values():
        assert "$wsl = 'C:\\Program Files\\WSL\\wsl.exe'" in told["keep-alive.ps1"]
        assert "& $wsl @guest sleep infinity" in told["keep-alive.ps1"]
        assert told["inside"][1:] == ["--distribution", "Ubuntu-24.04", "--user", "root", "--exec"]


def test_the_guest_is_known_by_its_own_port(worked_out: dict[str, dict[str, Any]]) -> None:
    assert worked_out["mirrored"]["known_as"] == "[192.0.2.30]:2222"


@pytest.fixture
def program(tmp_path: Path) -> ModuleType:
    path = ROLES / "wsl_host" / "files" / "prepare_guest.py"
    specification = importlib.util.spec_from_file_location("prepare_guest", path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    module.ROOT = tmp_path  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[boot]\nsystemd=true\n"),
        ("[boot]\nsystemd=true\n", "[boot]\nsystemd=true\n"),
        ("[boot]\n# mine\nSystemD = false\n", "[boot]\n# mine\nsystemd=true\n"),
        ("[Boot]\na=b\n[user]\nsystemd=no\n", "[Boot]\nsystemd=true\na=b\n[user]\nsystemd=no\n"),
        ("[boot]", "[boot]\nsystemd=true\n"),
        ("[user]\ndefault=eve\n", "[user]\ndefault=eve\n[boot]\nsystemd=true\n"),
    ],
)  # fmt: skip
def test_one_setting_is_written_and_the_rest_is_kept(
    program: ModuleType, before: str, after: str
) -> None:
    assert program.with_setting(before, "boot", "systemd", "true") == after


def test_a_guest_that_is_ready_is_left_alone(program: ModuleType, tmp_path: Path) -> None:
    settings = [{"section": "boot", "option": "systemd", "value": "true"}]
    home = tmp_path / "home"
    home.mkdir()
    owner = (os.getuid(), os.getgid())

    def once() -> list[bool]:
        return [
            program.set_up_wsl(settings),
            program.written(program.SUDOERS, "alice ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440),
            program.set_up_key(home, owner, "ssh-ed25519 AAAA alice"),
        ]

    assert once() == [True, True, True]
    assert once() == [False, False, False]
    keys = home / ".ssh" / "authorized_keys"
    assert (keys.stat().st_mode & 0o777, keys.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert (tmp_path / program.SUDOERS).stat().st_mode & 0o777 == 0o440


def test_keys_of_others_stay(program: ModuleType, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "authorized_keys").write_text("ssh-rsa BBBB eve")
    program.set_up_key(tmp_path, (os.getuid(), os.getgid()), "ssh-ed25519 AAAA alice")
    written = (tmp_path / ".ssh" / "authorized_keys").read_text()
    assert written == "ssh-rsa BBBB eve\nssh-ed25519 AAAA alice\n"


def test_what_windows_writes_in_the_guest_the_guests_own_role_leaves_alone(
    worked_out: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Both roles write /etc/wsl.conf and the SSH server's port; the second must change nothing."""
    wishes = worked_out["mirrored"]["wishes"]
    assert wishes["key"] == "ssh-ed25519 AAAA alice"
    template = ROLES / "wsl_guest" / "templates" / "sshd.conf.j2"
    expressions = {
        "settings": "{{ wsl_guest_settings }}",
        "sshd": f"{{{{ lookup('ansible.builtin.template', '{template}') }}}}",
    }
    include = {"name": "wsl_guest", "tasks_from": "refuse", "public": True}
    tasks: list[dict[str, Any]] = [
        {"ansible.builtin.include_role": include},
        {"name": "Values", "ansible.builtin.debug": {"msg": expressions}},
    ]
    answers = {"wsl_guest_probe": {"stdout_lines": [f"kernel {WSL}", "init systemd"]}}
    account = play(tmp_path, {"guest": guest() | answers}, tasks)
    told = account["plays"][0]["tasks"][-1]["hosts"]["guest"]["msg"]
    assert told["settings"] == wishes["settings"]
    assert told["sshd"] == wishes["sshd"]


def test_a_guest_is_refused_where_it_is_none(tmp_path: Path) -> None:
    def linux(kernel: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
        probe = {"wsl_guest_probe": {"stdout_lines": [f"kernel {kernel}", "init systemd"]}}
        return guest(**more) | probe

    hosts = {
        "wsl_2": linux(WSL),
        "wsl_1": linux(WSL_1),
        "native": linux("6.1.0-31-amd64"),
        "on_22": linux(WSL, ansible_port=22),
    }
    told = refusals(tmp_path, "wsl_guest", hosts)
    assert "wsl --set-version" in told["wsl_1"]
    assert "Remove it from group wsl_guests" in told["native"]
    assert "22 is used by Windows" in told["on_22"]
    assert "wsl_2" not in told


def test_a_wrong_argument_is_refused_with_a_sentence(tmp_path: Path) -> None:
    wrong = {
        "networking": ({"wsl_host_networking": "bridged"}, "one of: mirrored, nat"),
        "keep_alive": ({"wsl_host_keep_alive": "always"}, "one of: boot, logon, never"),
        "distribution": ({"wsl_host_distribution": "Arch"}, "one of: Ubuntu-22.04, Ubuntu-24.04"),
        "memory": ({"wsl_host_memory_gib": "plenty"}, "wsl_host_memory_gib"),
    }
    hosts = {name: windows() | variables for name, (variables, _) in wrong.items()}
    account = play(tmp_path, hosts, [{"ansible.builtin.include_role": {"name": "wsl_host"}}])
    told = failures(account)
    for name, (_, words) in wrong.items():
        assert words in told[name]
    assert "open sesame" not in json.dumps(account)


def test_a_guests_wrong_argument_is_refused_with_a_sentence(tmp_path: Path) -> None:
    hosts = {"a": guest() | {"wsl_guest_ssh_port": "ssh"}}
    account = play(tmp_path, hosts, [{"ansible.builtin.include_role": {"name": "wsl_guest"}}])
    assert "wsl_guest_ssh_port" in failures(account)["a"]


def test_a_fleet_without_windows_does_not_notice(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(json.dumps({"cluster": {"hosts": {"a": None}}}))
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i", str(tmp_path / "hosts.yml"), "playbooks/parts/windows_hosts.yml",
        ],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.count("no hosts matched") == 2
    assert "WARNING" not in done.stdout + done.stderr
