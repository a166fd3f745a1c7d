"""Engine addresses: those by which other nodes cannot reach a node are refused, with the remedy."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from core.errors import HerdError
from experiments.fleet import addresses
from experiments.fleet.addresses import NodeAddress, ipv4, refusals
from experiments.fleet.inventory import read_cluster

PROJECT = Path(__file__).resolve().parents[2]
OTHER = NodeAddress("other", "192.0.2.99")
NAMES = {
    "desk": "127.0.1.1",  # Debian's own /etc/hosts
    "pi3.local": "169.254.7.8",  # mDNS knows both of its addresses
    "pi4.local": "192.0.2.44",
}


@pytest.fixture(autouse=True)
def _no_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolved(name: str) -> str:
        if name not in NAMES:
            raise OSError(name)
        return NAMES[name]

    monkeypatch.setattr(addresses.socket, "gethostbyname", resolved)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "leads every machine to itself"),
        ("127.8.8.8", "leads every machine to itself"),
        ("desk", "'desk', which is 127.0.1.1 on this machine: that leads every machine to itself"),
        ("0.0.0.0", "means every address"),  # noqa: S104 - refused
        ("0.1.2.3", "means every address"),
        ("224.0.0.251", "multicast"),
        ("239.255.255.250", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("240.0.0.1", "reserved"),
        ("169.254.3.4", "gives itself while it has no other"),
        (
            "pi3.local",
            "169.254.7.8 on this machine: that is an address that a machine gives itself",
        ),
        ("nowhere.invalid", "not an IPv4 address and cannot be resolved"),
        ("fe80::1%eth0", "not an IPv4 address"),
        ("2001:db8::7", "not an IPv4 address"),
        ("192.0.2.7/24", "not an IPv4 address"),
        ("192.0.2.011", "not an IPv4 address"),  # resolvers take it for octal
        ("192.0.2", "not an IPv4 address"),  # and this for 192.0.0.2
        ("3221225994", "not an IPv4 address"),
        ("0xc0000207", "not an IPv4 address"),
        ("pi@192.0.2.7", "not an IPv4 address"),
        ("", "not an IPv4 address"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_an_address_that_others_cannot_reach_is_refused(
    address: str, why: str, *, is_first: bool
) -> None:
    place = NodeAddress("a", address)

    (told,) = refusals([place, OTHER] if is_first else [OTHER, place])

    assert told.startswith("a is at ")
    assert why in told
    assert "Set `herd_cluster_address` of a to an IPv4 address" in told


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.7", "100.64.0.7", "pi4.local"])
def test_any_other_is_taken(address: str) -> None:
    assert refusals([NodeAddress("a", address), OTHER]) == []


def test_the_cluster_address_counts_where_there_is_one() -> None:
    assert refusals([NodeAddress("a", "127.0.0.1", "10.0.0.1"), OTHER]) == []
    assert "a is at '127.0.0.1'" in refusals([NodeAddress("a", "192.0.2.7", "127.0.0.1"), OTHER])[0]
    # Two machines on one cable may live on such addresses, when somebody says so.
    assert refusals([NodeAddress("a", "192.0.2.7", "169.254.3.4"), OTHER]) == []


def test_a_lone_node_may_be_at_loopback_but_not_nowhere() -> None:
    assert refusals([NodeAddress("a", "127.0.0.1")]) == []
    assert refusals([NodeAddress("a", "0.0.0.0")])  # noqa: S104 - refused


def test_every_node_is_told_of() -> None:
    told = refusals([NodeAddress("a", "127.0.0.1"), OTHER, NodeAddress("b", "0.0.0.0")])  # noqa: S104
    assert [one.split()[0] for one in told] == ["a", "b"]


@pytest.mark.parametrize(
    ("one", "two", "told"),
    [
        (NodeAddress("a", "192.0.2.1"), NodeAddress("b", "192.0.2.1"), "a and b both have"),
        (
            NodeAddress("a", "192.0.2.1", "10.0.0.1"),
            NodeAddress("b", "192.0.2.2", "10.0.0.1"),
            "a and b both",
        ),
        (
            NodeAddress("a", "pi4.local"),
            NodeAddress("b", "192.0.2.44", port=2222),
            "a and b both have",
        ),
        # One machine with two addresses would be measured as two nodes.
        (
            NodeAddress("a", "192.0.2.1", "10.0.0.1"),
            NodeAddress("b", "192.0.2.1", "10.0.0.2"),
            "are the same machine: both are where SSH finds 192.0.2.1",
        ),
        (
            NodeAddress("a", "192.0.2.1", is_here=True),
            NodeAddress("b", "192.0.2.2", is_here=True),
            "are the same machine: both are this machine itself",
        ),
        # a's own address was written down wrongly, as b's.
        (
            NodeAddress("a", "192.0.2.1", "192.0.2.2"),
            NodeAddress("b", "192.0.2.2", "10.0.0.2"),
            "address of a, 192.0.2.2, is where SSH finds b",
        ),
    ],
)
def test_two_nodes_with_one_address_are_refused(
    one: NodeAddress, two: NodeAddress, told: str
) -> None:
    assert told in " ".join(refusals([one, two]))
    assert told.rsplit(maxsplit=1)[-1] in " ".join(refusals([two, one]))


def test_nodes_that_only_seem_to_be_one_are_taken() -> None:
    gate = NodeAddress("gate", "192.0.2.1", "10.0.0.1")
    # Behind a port that it forwards; or at the same address of another network.
    assert refusals([gate, NodeAddress("guest", "192.0.2.1", "10.0.0.2", port=2222)]) == []
    behind = NodeAddress("b", "10.0.0.1", "10.9.0.1", way=("-o", "ProxyJump=site-b"))
    assert refusals([gate, behind]) == []


def test_the_role_says_what_the_runner_says() -> None:
    path = PROJECT / "roles" / "node_base" / "filter_plugins" / "wrong_addresses.py"
    spec = importlib.util.spec_from_file_location("wrong_addresses", path)
    assert spec is not None
    assert spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    hosts: dict[str, dict[str, Any]] = {
        "localhost": {"ansible_connection": "local", "ansible_host": "127.0.0.1"},
        "b": {"ansible_host": "127.0.0.1", "ansible_ssh_host": "192.0.2.2"},
        "c": {"ansible_host": "192.0.2.3", "herd_cluster_address": "192.0.2.2"},
    }

    said = plugin.FilterModule().filters()["herd_wrong_addresses"]

    (told,) = said(list(hosts), hosts)
    assert told.startswith("localhost is at '127.0.0.1'")
    hosts["localhost"]["herd_cluster_address"] = "192.0.2.1"
    (told,) = said(list(hosts), hosts)
    assert told.startswith("b and c both have the engine address 192.0.2.2.")
    assert said(["localhost", "b"], hosts) == []
    hosts["c"] = {"ansible_host": "192.0.2.2", "herd_cluster_address": "192.0.2.3"}
    assert "b and c are the same machine" in said(list(hosts), hosts)[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[cluster]\nlocalhost ansible_connection=local\na ansible_host=192.0.2.1\n", "localhost"),
        ("[cluster]\nd ansible_host=127.0.0.1\na ansible_host=192.0.2.1\n", "d is at '127.0.0.1'"),
        ("[cluster]\na ansible_host=192.0.2.1\nb ansible_host=192.0.2.1\n", "a and b both"),
        (
            (
                "[all:vars]\nansible_connection=local\n"
                "[cluster]\na ansible_host=192.0.2.1\nb ansible_host=192.0.2.2\n"
            ),
            "a and b are the same machine: both are this machine itself",
        ),
    ],
)
def test_fab_refuses_them_before_anything_starts(tmp_path: Path, text: str, told: str) -> None:
    hosts = tmp_path / "hosts.ini"
    hosts.write_text(text)

    with pytest.raises(HerdError, match=told):
        read_cluster(PROJECT, str(hosts))
    read_cluster(PROJECT, str(hosts), must_resolve=False)  # the doctor has more to say


def test_the_controller_may_be_a_node(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.ini"
    hosts.write_text(
        "[cluster]\ndesk ansible_connection=local herd_cluster_address=192.0.2.20\n"
        "a ansible_host=192.0.2.1\n"
    )

    desk, other = read_cluster(PROJECT, str(hosts)).nodes

    assert (desk.connection, desk.engine_address) == ("local", "192.0.2.20")
    assert (other.connection, other.engine_address) == ("ssh", "192.0.2.1")


def test_names_are_resolved_and_addresses_stay() -> None:
    assert ipv4("pi4.local") == "192.0.2.44"
    assert ipv4("192.0.2.1") == "192.0.2.1"
