"""Plugs in the inventory: what is read, in both of Ansible's forms, and what is refused by name."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from collect.plugs import Electricity
from core.errors import HerdError
from experiments.fleet.cluster import Plug, Secret
from experiments.fleet.inventory import read_cluster
from experiments.fleet.plugs import read_electricity, read_plugs, spoken
from tests.unit.test_inventory import ANSIBLE_VAULT, inventory

NODES = ("pi1", "pi2")
CLUSTER = "[cluster]\npi1 ansible_host=192.0.2.1\npi2 ansible_host=192.0.2.2\n"


def plugs(*told: dict[str, Any]) -> tuple[Plug, ...]:
    given = [{"plug_kind": "tasmota", "plug_nodes": ["pi1"], **one} for one in told]
    return read_plugs(
        [{"name": f"p{n}", "variables": one} for n, one in enumerate(given, 1)], NODES
    )


def test_plugs_are_read_from_a_file_in_ini_form(tmp_path: Path) -> None:
    hosts = inventory(
        tmp_path,
        f"{CLUSTER}[smart_plugs]\n"
        "strip ansible_host=192.0.2.51 plug_kind=shelly_gen2 plug_nodes=pi1,pi2 plug_switch=true "
        "plug_port=8080 plug_channel=1\n",
        "herd_electricity_price: 0.32\nherd_electricity_currency: EUR\n",
    )
    cluster = read_cluster(tmp_path, hosts)

    strip = Plug("strip", "shelly_gen2", "192.0.2.51", 8080, 1, ("pi1", "pi2"), feeds_switch=True)
    assert cluster.plugs == (strip,)
    assert [node.name for node in cluster.nodes] == ["pi1", "pi2"]
    assert cluster.electricity == Electricity(per_kwh=0.32, currency="EUR")
    assert spoken(strip) == "pi1, pi2 and the switch"


def test_passwords_come_from_a_vault_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = inventory(
        tmp_path,
        f"{CLUSTER}[smart_plugs]\n"
        "a plug_kind=tasmota plug_nodes=pi1\nb plug_kind=shelly_gen1 plug_nodes=pi2\n",
    )
    vaulted = subprocess.run(
        [ANSIBLE_VAULT, "encrypt_string", "--name", "plug_password", "from the vault"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "a.yml").write_text(vaulted)
    looked_up = {"plug_password": "{{ lookup('env', 'PLUG_PASSWORD') }}"}
    (tmp_path / "host_vars" / "b.yml").write_text(yaml.safe_dump(looked_up))
    monkeypatch.setenv("PLUG_PASSWORD", "from the environment")

    a, b = read_cluster(tmp_path, hosts).plugs

    assert a.password == Secret("from the vault")
    assert b.password == Secret("from the environment")
    assert "vault" not in repr(a)


def test_an_inventory_without_plugs_has_none(tmp_path: Path) -> None:
    cluster = read_cluster(tmp_path, inventory(tmp_path, CLUSTER))
    assert (cluster.plugs, cluster.electricity) == ((), None)


def test_the_example_has_plugs_that_are_read() -> None:
    project = Path(__file__).resolve().parents[2]
    text = (project / "inventory" / "example.yml").read_text()
    hosts = yaml.safe_load(text)["all"]["children"]["smart_plugs"]["hosts"]
    nodes = yaml.safe_load(text)["all"]["children"]["cluster"]["hosts"]
    told = [{"name": name, "variables": variables} for name, variables in hosts.items()]
    assert len(read_plugs(told, list(nodes))) >= 2


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"plug_kind": "fritz"}, "plug_kind of the plug `p1` is `fritz`, but it must be one of"),
        ({"plug_kind": None}, "plug_kind of the plug `p1` is missing"),
        ({"plug_nodes": ["pi9"]}, "`pi9`, but it must have nodes of group cluster: pi1, pi2"),
        ({"plug_nodes": {"pi1": 1}}, "it must be a list of nodes"),
        ({"plug_nodes": []}, "the plug p1 feeds nothing"),
        ({"plug_nodes": ["pi1", "pi1"]}, "pi1 hangs on p1, so it would be counted twice"),
        ({"plug_switch": "maybe"}, "plug_switch of the plug `p1` is `maybe`, but it must be true"),
        ({"plug_port": 0}, "it must be a number from 1 to 65535"),
        ({"plug_port": True}, "it must be a number from 1 to 65535"),
        ({"plug_channel": 99}, "it must be a number from 0 to 15"),
        (
            {"plug_chanel": 1},
            "plug_chanel of the plug `p1` is not known; did you mean plug_channel?",
        ),
        ({"plug_x": 1}, "A plug has plug_kind, plug_nodes, plug_switch, plug_channel, plug_port"),
        ({"plug_channel": "first"}, "it must be a number from 0 to 15"),
        ({"ansible_host": "http://192.0.2.1/"}, "without `http://`, port or path"),
        ({"ansible_host": "a b"}, "be an address or a name"),
        ({"plug_user": 'a"b'}, "plug_user of the plug `p1`"),
        ({"plug_user": "a\r\nX: y"}, "plug_user of the plug `p1`"),
    ],
)
def test_what_is_wrong_is_refused_by_name(told: dict[str, Any], message: str) -> None:
    with pytest.raises(HerdError) as caught:
        plugs(told)
    assert message in str(caught.value)


def test_nothing_hangs_on_two_plugs() -> None:
    with pytest.raises(HerdError, match="pi1 hangs on p1 and p2"):
        plugs({}, {})
    with pytest.raises(HerdError, match="the switch hangs on p1 and p2"):
        plugs({"plug_switch": True}, {"plug_nodes": ["pi2"], "plug_switch": True})


def test_a_meter_is_one_plug() -> None:
    here = {"ansible_host": "192.0.2.5"}
    with pytest.raises(HerdError, match="p2 has the address, port and channel of p1"):
        plugs(here, {**here, "plug_nodes": ["pi2"]})
    assert len(plugs(here, {**here, "plug_nodes": ["pi2"], "plug_channel": 1})) == 2


def test_a_node_is_no_plug() -> None:
    with pytest.raises(HerdError, match="pi1 is in group cluster and in group smart_plugs"):
        read_plugs([{"name": "pi1", "variables": {"plug_nodes": ["pi2"]}}], NODES)


YAML = """\
all:
  vars:
    herd_electricity_price: dear
    herd_electricity_currency: EUR
  children:
    cluster:
      hosts: {pi1: {ansible_host: 192.0.2.1}}
    smart_plugs:
      vars:
        plug_kind: tasmota
      hosts:
        p1:
          plug_nodes: [pi1]
"""


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (": dear", ": dear", "hosts.yml, line 3: herd_electricity_price and herd_"),
        ("kind: tasmota", "kind: fritz", "hosts.yml, line 10: plug_kind of the plug `p1` is `fri"),
        ("s: [pi1]", "s: [pi1, pi9]", "hosts.yml, line 13: plug_nodes of the plug `p1` is `pi9`"),
        ("plug_nodes: [pi1]", "plug_chanel: 1", "line 13: plug_chanel of the plug `p1` is not kno"),
        ("plug_nodes: [pi1]", "plug_port: 0", "hosts.yml, line 12: the plug p1 feeds nothing"),
        ("s: [pi1]", "s: [pi1]\n          plug_port: 0", "line 14: plug_port of the plug `p1`"),
        ("s: [pi1]", "s: [pi1]\n          plug_switch: maybe", "line 14: plug_switch of"),
        (
            "s: [pi1]",
            "s: [pi1]\n        p2:\n          plug_nodes: [pi1]",
            "line 15: pi1 hangs on p",
        ),
        (
            "        plug_kind: tasmota",
            "        plug_user: me",
            "line 12: plug_kind of the plug `p1` is mi",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_line(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    text = YAML.replace(before, after, 1)
    (tmp_path / "hosts.yml").write_text(text if after == ": dear" else text.replace("dear", "1.5"))
    with pytest.raises(HerdError) as caught:
        read_cluster(tmp_path, str(tmp_path / "hosts.yml"))
    assert message in str(caught.value)


def test_a_misspelt_variable_in_ini_form_is_refused_with_its_line(tmp_path: Path) -> None:
    hosts = inventory(tmp_path, f"{CLUSTER}[smart_plugs]\np plug_kind=tasmota plug_node=pi1\n")
    with pytest.raises(HerdError, match=r", line 5: plug_node of the plug `p` is not known; did"):
        read_cluster(tmp_path, hosts)


def test_a_variable_that_is_empty_is_as_one_that_is_not_there(tmp_path: Path) -> None:
    text = YAML.replace("dear", "1.5").replace("s: [pi1]", "s: [pi1]\n          plug_switch:")
    (tmp_path / "hosts.yml").write_text(text)
    (plug,) = read_cluster(tmp_path, str(tmp_path / "hosts.yml")).plugs
    assert not plug.feeds_switch


def test_a_password_is_in_no_message() -> None:
    with pytest.raises(HerdError) as caught:
        plugs({"plug_password": "s3cret", "plug_kind": "s3"})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("price", "currency"), [(-1, "EUR"), ("dear", "EUR"), (0.3, None), (None, "EUR"), (0.3, "€")]
)
def test_a_price_that_is_none_is_refused(price: object, currency: object) -> None:
    with pytest.raises(HerdError, match=r"a price per kWh and its currency, such as 0\.32 and EUR"):
        read_electricity({"herd_electricity_price": price, "herd_electricity_currency": currency})
