"""Which firewalls the doctor sees on a node, what it says of them, and what lets engines in."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from experiments.doctor.checks.firewalls import command_to_let_in
from experiments.doctor.diagnose import diagnose
from experiments.doctor.facts import Firewall
from experiments.doctor.finding import Finding, Severity
from experiments.doctor.probe.firewalls import UNITS, by_nft, firewalls
from experiments.doctor.probe.place import ProgramResult
from tests.doubles.doctor_facts import PC, answer, changed
from tests.doubles.doctor_place import prepared

ORACLE = """*filter
:INPUT ACCEPT [0:0]
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""
WORKSTATION = """#!/usr/sbin/nft -f
flush ruleset
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        tcp dport 22 accept
    }
}
"""
ONE_LINE = """table inet filter {
    chain input { type filter hook input priority 0; policy drop; tcp dport 22 accept; }
}
"""
DEBIAN = """flush ruleset

table inet filter {
\tchain input {
\t\ttype filter hook input priority filter;
\t}
\tchain forward {
\t\ttype filter hook forward priority filter;
\t}
}
"""
OURS = """table inet llama_herd {
    chain input {
        type filter hook input priority filter - 10; policy accept;
    }
    chain engines { drop }
}
"""


UFW = {"/etc/ufw/ufw.conf": "ENABLED=yes\n"}


def active(*units: str) -> str:
    return "\n".join("active" if unit in units else "inactive" for unit in UNITS)


def seen(folder: Path, files: dict[str, Any], *units: str) -> list[dict[str, Any]]:
    return firewalls(prepared(folder, files, systemctl=active(*units)))


@pytest.mark.parametrize(
    ("files", "units", "as_root_told", "lets_in"),
    [
        ({**UFW, "/etc/ufw/user.rules": ""}, (), {"cat": "allow tcp 9990:9999,50052:50061"}, True),
        ({**UFW, "/etc/ufw/user.rules": ""}, (), {"cat": "allow tcp 22"}, False),
        ({}, ("firewalld",), {"firewall-cmd": "port port=9990-9999 accept"}, True),
        ({}, ("firewalld",), {"firewall-cmd": "public (default)\n  services: ssh"}, False),
        ({}, ("firewalld",), {}, None),
        ({"/etc/iptables/rules.v4": ""}, ("iptables",), {"cat": ORACLE}, False),
        ({}, (), {"nft": WORKSTATION}, False),
    ],
)
def test_rules_of_root_are_read_where_sudo_asks_for_nothing(
    tmp_path: Path,
    files: dict[str, Any],
    units: tuple[str, ...],
    as_root_told: dict[str, str],
    *,
    lets_in: bool | None,
) -> None:
    place = prepared(tmp_path, files, systemctl=active(*units))

    found = firewalls(place, lambda *argv: ProgramResult(0, as_root_told.get(argv[0], "")))

    assert [one["lets_in"] for one in found] == [lets_in]


def firewall(kind: str, *, lets_in: bool | None = None, chain: str | None = None) -> dict[str, Any]:
    return {"kind": kind, "lets_in": lets_in, "chain": chain}


ALLOWED = {
    "/etc/ufw/user.rules": "### tuple ### allow tcp 9990:9999,50052:50061 any 192.0.2.8 in\n"
}


@pytest.mark.parametrize(
    ("files", "units", "found"),
    [
        ({}, (), []),
        (UFW, (), [firewall("ufw")]),
        ({**UFW, "/etc/default/ufw": 'DEFAULT_INPUT_POLICY="ACCEPT"\n'}, (), [True]),
        ({**UFW, **ALLOWED}, (), [True]),
        ({**UFW, "/etc/ufw/user.rules": "allow tcp 22"}, (), [False]),
        ({"/etc/ufw/ufw.conf": "ENABLED=no\n"}, (), []),
        ({}, ("firewalld",), [firewall("firewalld")]),
        ({"/etc/nftables.conf": DEBIAN}, ("nftables",), []),
        (
            {"/etc/nftables.conf": WORKSTATION},
            ("nftables",),
            [firewall("nftables", lets_in=False, chain="inet filter input")],
        ),
        ({"/etc/nftables.conf": WORKSTATION}, (), []),
        ({"/etc/nftables.conf": f"{DEBIAN}{OURS}"}, ("nftables",), []),
        ({"/etc/iptables/rules.v4": ORACLE}, ("netfilter-persistent",), [False]),
        (
            {"/etc/iptables/rules.v4": ORACLE.replace("--dport 22", "--dports 9990:9999")},
            ("netfilter-persistent",),
            [True],
        ),
        (
            {"/etc/iptables/rules.v4": "*filter\n:INPUT DROP [0:0]\nCOMMIT\n"},
            ("netfilter-persistent",),
            [False],
        ),
        (
            {"/etc/iptables/rules.v4": "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"},
            ("netfilter-persistent",),
            [],
        ),
        ({"/etc/iptables/rules.v4": ""}, ("netfilter-persistent",), [firewall("iptables")]),
        ({}, ("docker", "shorewall"), [firewall("shorewall"), firewall("docker", lets_in=True)]),
    ],
)
def test_firewalls_that_are_on_are_named_as_far_as_they_can_be_read(
    tmp_path: Path, files: dict[str, Any], units: tuple[str, ...], found: list[Any]
) -> None:
    told = seen(tmp_path, files, *units)
    wanted_less = all(isinstance(one, bool) for one in found)
    assert ([one["lets_in"] for one in told] if wanted_less else told) == found


IN = "type filter hook input priority 0; policy accept;"


@pytest.mark.parametrize(
    "rules",
    [
        "table ip filter { chain f { type filter hook forward priority 0; policy drop; } }",
        "table ip6 filter { chain input { type filter hook input priority 0; policy drop; } }",
        f"table inet f2b {{ chain c {{ {IN}\n tcp dport 22 ip saddr @addrs reject\n }} }}",
        f"table ip t {{\n chain i {{ {IN}\n jump s }}\n chain s {{\n iif a drop\n }} }}",
        f"table ip t {{ chain i {{ {IN}\n jump v }} chain v {{ }} chain f {{\n drop\n }} }}",
        f"table inet t {{ chain input {{ {IN}\n ct state invalid drop\n }} }}",
    ],
)
def test_tables_that_drop_something_else_are_no_matter(rules: str) -> None:
    """Forwarded packets, IPv6, attackers, strangers in Tailscale's network."""
    assert by_nft(rules, "rules") is None


@pytest.mark.parametrize(
    "rules",
    [
        f"table ip t {{ chain i {{ {IN}\n jump z\n }} chain z {{ jump i\n counter drop }} }}",
        f"table ip t {{ chain i {{ {IN}\n counter packets 7 bytes 420 reject with icmp x }} }}",
        "table t { chain i { type filter hook input priority 0; policy drop; } }",
    ],
)
def test_a_last_rule_or_a_policy_keeps_out(rules: str) -> None:
    told = by_nft(rules, "rules")
    assert told is not None
    assert told["chain"] == "ip t i"


def test_rules_of_included_files_count_and_are_not_looked_for_in_the_first(tmp_path: Path) -> None:
    files = {
        "/etc/nftables.conf": 'flush ruleset\ninclude "/etc/nftables.d/*.nft"\n',
        "/etc/nftables.d/input.nft": WORKSTATION.partition("flush ruleset")[2],
    }
    assert seen(tmp_path, files, "nftables") == [
        firewall("rules", lets_in=False, chain="inet filter input")
    ]


def test_a_rule_with_a_condition_in_rules_of_iptables_is_no_matter(tmp_path: Path) -> None:
    rules = (
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n"
    )
    files = {
        "/etc/iptables/rules.v4": f"{rules}-A INPUT -s 198.51.100.7 -p tcp --dport 22 -j DROP\n"
    }
    assert seen(tmp_path, files, "netfilter-persistent") == []


def test_a_chain_that_a_node_makes_up_is_no_part_of_a_command() -> None:
    (finding,) = ports("rules", "192.0.2.8", chain="ip a b'; reboot; '")
    assert "reboot" not in finding.remedy
    assert "with that firewall's own tools" in finding.remedy


@pytest.mark.parametrize(
    "rules", ["table ip6 t { chain i {\ntype filter hook input priority 0;\n} }", "hook input {"]
)
def test_what_nft_cannot_read_is_not_written_into_nftables_conf(tmp_path: Path, rules: str) -> None:
    (conf := tmp_path / "nftables.conf").write_text(rules)
    (tmp_path / "nft").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "nft").chmod(0o755)
    command = command_to_let_in(Firewall(kind="nftables"), ["192.0.2.8"])
    assert command is not None
    here = command.replace("/etc/nftables.conf", str(conf))
    path = f"{tmp_path}:/usr/bin:/bin"

    done = subprocess.run(["sh", "-c", here], env={"PATH": path}, capture_output=True, check=False)

    assert done.returncode != 0
    assert conf.read_text() == rules


def ports(kind: str, *others: str, **told: Any) -> list[Finding]:  # noqa: ANN401
    """What is said of a firewall on the first of these nodes."""
    here = answer(changed(PC, network={"firewalls": [{"kind": kind, **told}]}), "a")
    there = [
        answer(changed(PC, network={}), f"n{number}", engine_address=address)
        for number, address in enumerate(others)
    ]
    first = diagnose([here, *there])[0]
    return [one for one in first.findings if "irewall" in one.sentence or "Docker" in one.sentence]


@pytest.mark.parametrize(
    ("kind", "told", "words", "remedy"),
    [
        ("ufw", {}, "The firewall ufw is on: it drops", "ufw allow proto tcp from $a"),
        (
            "firewalld",
            {},
            "The firewall firewalld is on: only root can read its rules",
            "--add-rich-rule=",
        ),
        ("nftables", {"lets_in": False}, "nftables.service", "/etc/nftables.conf"),
        ("iptables", {"lets_in": False}, "iptables", "-s 192.0.2.8,192.0.2.9 -m multiport"),
        ("rules", {"chain": "ip a b"}, "nft list ruleset", "insert rule ip a b ip saddr"),
        (
            "shorewall",
            {},
            "The firewall shorewall is on",
            "Allow TCP ports 9990-9999 and 50052-50061",
        ),
    ],
)
def test_each_firewall_is_a_warning_with_what_lets_engines_in(
    kind: str, told: dict[str, Any], words: str, remedy: str
) -> None:
    (finding,) = ports(kind, "192.0.2.8", "192.0.2.9", **told)
    assert finding.verdict is Severity.WARNING
    assert words in finding.sentence
    assert remedy in finding.remedy
    assert "192.0.2.9" in finding.remedy
    (alone,) = ports(kind, **told)
    assert alone.remedy.startswith("Run it again without --limit")


@pytest.mark.parametrize(("kind", "told"), [("ufw", {"lets_in": True}), ("docker", {})])
def test_a_firewall_that_lets_engines_in_is_only_named(kind: str, told: dict[str, Any]) -> None:
    (finding,) = ports(kind, "192.0.2.8", **told)
    assert (finding.verdict, finding.remedy) == (Severity.OK, "")


@pytest.mark.skipif(shutil.which("nft") is None, reason="reads rules with nft")
@pytest.mark.parametrize(
    "rules",
    [
        WORKSTATION,
        WORKSTATION.replace("; policy drop;", ";\n drop"),
        f"# one hook input;\n{ONE_LINE}",
    ],
)
def test_what_is_written_into_nftables_conf_is_its_language(tmp_path: Path, rules: str) -> None:
    """The command itself, on a copy; `nft -c` reads it and loads nothing."""
    (conf := tmp_path / "nftables.conf").write_text(rules)
    command = command_to_let_in(Firewall(kind="nftables"), ["192.0.2.8", "192.0.2.9"])
    assert command is not None
    here = command.replace("/etc/nftables.conf", str(conf)).partition(" && systemctl")[0]

    done = subprocess.run(["sh", "-c", here], capture_output=True, text=True, check=False)

    written = conf
    if "Operation not permitted" in done.stderr:
        written = tmp_path / "nftables.conf.new"
    else:
        assert (done.returncode, done.stderr) == (0, "")
    told = by_nft(written.read_text(), "nftables")
    assert told is not None
    assert told["lets_in"]


def test_a_file_that_nft_would_refuse_stays_as_it_was(tmp_path: Path) -> None:
    (conf := tmp_path / "nftables.conf").write_text(WORKSTATION)
    (refuses := tmp_path / "nft").write_text("#!/bin/sh\nexit 1\n")
    refuses.chmod(0o755)
    command = command_to_let_in(Firewall(kind="nftables"), ["192.0.2.8"])
    assert command is not None

    done = subprocess.run(
        ["sh", "-c", f"PATH={tmp_path}:$PATH; {command.replace('/etc/nftables.conf', str(conf))}"],
        check=False,
    )

    assert done.returncode == 1
    assert conf.read_text() == WORKSTATION
