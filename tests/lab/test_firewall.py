"""The firewall of engines' ports, taken away in the ways that nodes know.

The engine is the real llama.cpp; nothing is asked of it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from core.errors import HerdError
from experiments.nodes.launcher import Request, ask
from tests.lab.runs import launcher, owning
from tests.lab.virtual_lab import WORKER, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.slow]

PORT = 50052
UNIT = "herd-guarded-worker"
START = Request(
    "start",
    (
        *(("unit", UNIT), ("deadline", "60"), ("port", str(PORT))),
        ("arg", "/opt/llama-herd/engines/llama.cpp/bin/ggml-rpc-server"),
        *(("arg", "--host"), ("arg", "0.0.0.0"), ("arg", "--port"), ("arg", str(PORT))),  # noqa: S104
    ),
)
FILE = "/etc/llama-herd/firewall.nft"
RESTART = "systemctl restart llama-herd-firewall"
TABLE = "inet llama_herd"
AWAY = {
    "flushed": "nft flush ruleset",
    "deleted": f"nft delete table {TABLE}",
    "emptied": f"nft flush table {TABLE}",
    "one chain emptied": f"nft flush chain {TABLE} input",
    "opened": f"nft insert rule {TABLE} engines accept",
    "widened": f"nft 'add element {TABLE} nodes4 {{ 192.0.2.0/24 }}'",
    "dormant": f"nft 'add table {TABLE} {{ flags dormant; }}'",
    "stopped": "systemctl stop llama-herd-firewall",
    "disabled": "systemctl disable --quiet --now llama-herd-firewall",
    "reloaded by hand": "nft -f /etc/nftables.conf",
    "its file changed": "echo '# mine' >>/etc/llama-herd/firewall.nft",
}


@pytest.fixture(autouse=True)
def _guarded(lab: VirtualLab) -> Iterator[None]:
    """Every test leaves the node as provisioning did."""
    lab.on(WORKER, "cp /etc/llama-herd/firewall.nft /root/firewall.nft")
    yield
    lab.on(
        WORKER,
        "cp /root/firewall.nft /etc/llama-herd/firewall.nft; systemctl stop nftables 2>/dev/null; "
        "systemctl enable --quiet llama-herd-firewall; systemctl restart llama-herd-firewall",
    )


def refusal(lab: VirtualLab) -> str:
    """Why a worker is not started; empty if it was."""
    with launcher() as ssh:
        link = owning(ssh, lab.cluster(2).nodes[1])
        try:
            ask(link, START)
        except HerdError as error:
            return str(error)
        ask(link, Request("stop", (("unit", UNIT),)))
    return ""


@pytest.mark.parametrize("way", AWAY.values(), ids=AWAY)
def test_no_worker_starts_without_the_table_and_the_remedy_works_as_printed(
    lab: VirtualLab, way: str
) -> None:
    assert refusal(lab) == ""
    lab.on(WORKER, way)

    told = refusal(lab)
    remedy = re.search(r"\((sudo systemctl restart [^)]*)\)", told)
    assert remedy, told
    lab.on(WORKER, f"su - pi -c {remedy[1]!r}")

    assert refusal(lab) == ""


@pytest.mark.parametrize("verb", ["start", "reload", "restart", "stop"])
def test_the_table_comes_back_whenever_nftables_flushes_all_rules(
    lab: VirtualLab, verb: str
) -> None:
    if verb != "start":
        lab.on(WORKER, "systemctl start nftables")
    lab.on(WORKER, "nft add table inet witness")
    lab.on(WORKER, f"systemctl {verb} nftables")

    assert "witness" not in lab.on(WORKER, "nft list tables"), "it flushed"
    assert refusal(lab) == ""


def test_only_nodes_of_the_cluster_reach_a_worker(lab: VirtualLab) -> None:
    look = f"timeout 2 bash -c '</dev/tcp/{lab.address(WORKER)}/{PORT}' && echo in || echo out"
    lab.on(WORKER, "systemctl start nftables; systemctl reload nftables")
    with launcher() as ssh:
        link = owning(ssh, lab.cluster(2).nodes[1])
        ask(link, START)
        with pytest.raises(TimeoutError):
            socket.create_connection((lab.address(WORKER), PORT), timeout=2.0)
        assert lab.on(lab.names[0], look).strip() == "in"
        ask(link, Request("stop", (("unit", UNIT),)))


def test_a_node_that_boots_anew_has_its_table_after_that_of_nftables(lab: VirtualLab) -> None:
    lab.on(WORKER, "systemctl enable --quiet nftables")
    begun = "systemctl show --property=ExecMainStartTimestampMonotonic --value"

    # As at boot: both from nothing, and in one transaction, without which their order would be that
    # of the words.
    target = "/run/systemd/system/boot.target"
    both = "[Unit]\\nWants=llama-herd-firewall.service nftables.service\\n"
    lab.on(WORKER, "systemctl stop llama-herd-firewall nftables; nft flush ruleset")
    lab.on(WORKER, f"printf '{both}' >{target} && systemctl daemon-reload")
    lab.on(WORKER, "systemctl start boot.target")
    lab.on(WORKER, f"rm {target} && systemctl daemon-reload")

    ours, theirs = (
        int(lab.on(WORKER, f"{begun} {unit}")) for unit in ("llama-herd-firewall", "nftables")
    )
    lab.on(WORKER, "systemctl disable --quiet nftables")
    assert ours > theirs
    assert refusal(lab) == ""


def test_verifying_looks_at_the_table_and_provisioning_brings_it_back(lab: VirtualLab) -> None:
    assert lab.play("playbooks/verify.yml").code == 0
    lab.on(WORKER, "nft flush ruleset")

    broken = lab.play("playbooks/verify.yml")
    assert broken.code != 0
    assert f"{WORKER} is not ready: the kernel has no table llama_herd" in broken.words()
    assert f"provision.yml --limit {WORKER}" in broken.words()

    lab.play("playbooks/nodes.yml", f"--limit={WORKER}")
    assert lab.play("playbooks/verify.yml").code == 0


@pytest.mark.parametrize(
    ("way", "told"),
    [
        (
            "rm /etc/systemd/system/nftables.service.d/llama-herd.conf",
            "nftables.service.d/llama-herd.conf is not what provision.yml writes",
        ),
        (
            "chmod 644 /usr/local/libexec/llama-herd/load-firewall",
            "/usr/local/libexec/llama-herd/load-firewall is not what provision.yml writes",
        ),
        (
            f"sed -i 's/^        drop/        accept/' {FILE}; {RESTART}",
            f"{FILE} is not what provision.yml writes",
        ),
        ("touch /etc/llama-herd/firewall.off", "it has /etc/llama-herd/firewall.off"),
        (
            "systemctl disable --quiet llama-herd-firewall",
            "the firewall would not be loaded at the next boot",
        ),
    ],
)
def test_what_would_take_the_firewall_away_later_is_told_now(
    lab: VirtualLab, way: str, told: str
) -> None:
    lab.on(WORKER, way)
    broken = lab.play("playbooks/verify.yml")
    lab.play("playbooks/nodes.yml", f"--limit={WORKER}")

    assert broken.code != 0
    assert told in broken.words()
    assert lab.play("playbooks/verify.yml").code == 0


def test_the_table_may_be_loaded_as_often_as_it_is_flushed(lab: VirtualLab) -> None:
    for _ in range(8):
        lab.on(WORKER, f"nft flush ruleset; {RESTART}")
    assert refusal(lab) == ""


def test_networks_that_overlap_are_loaded(lab: VirtualLab) -> None:
    """Such as that of a forwarding machine around the nodes' own."""
    wide = lab.play("playbooks/nodes.yml", herd_forwarded_from="10.0.0.0/8")
    listed = lab.on(WORKER, f"nft list set {TABLE} nodes4")
    lab.play("playbooks/nodes.yml")

    assert wide.code == 0, wide.output
    assert "10.0.0.0/8" in listed


@pytest.mark.parametrize("network", ["0.0.0.0/0", "10.0.0.0/7", "10.0.0.256", "10.0.0.0/33"])
def test_a_network_of_half_the_world_is_refused(lab: VirtualLab, network: str) -> None:
    refused = lab.play("playbooks/nodes.yml", herd_forwarded_from=network)
    assert refused.code != 0
    assert f"is '{network}', not an IPv4 network" in refused.words()


@pytest.mark.parametrize(
    "ports", ["http", "0-9", "9990-70000", "9999-9990", "9990-9991-9992", "9990-9999; drop", ""]
)
def test_ports_that_are_none_are_refused_by_name(lab: VirtualLab, ports: str) -> None:
    refused = lab.play("playbooks/nodes.yml", node_base_engine_ports=["9990-9999", ports])
    assert refused.code != 0
    assert f"node_base_engine_ports has '{ports}'." in refused.words()


def test_a_port_of_ones_own_is_guarded_as_the_refusal_says(lab: VirtualLab) -> None:
    lab.play("playbooks/nodes.yml", node_base_engine_ports=["9990-9999"])
    told = refusal(lab)
    lab.play("playbooks/nodes.yml", node_base_engine_ports=["9990-9999", PORT])
    assert "add it to node_base_engine_ports, then provision the node again" in told
    assert refusal(lab) == ""
    lab.play("playbooks/nodes.yml")


def test_without_the_firewall_by_choice_workers_start_and_it_comes_back(lab: VirtualLab) -> None:
    lab.play("playbooks/nodes.yml", node_base_firewall=False)
    without = lab.on(WORKER, "nft list tables"), refusal(lab)
    verified = lab.play("playbooks/verify.yml", node_base_firewall=False).code
    missed = lab.play("playbooks/verify.yml")
    again = lab.play("playbooks/nodes.yml")

    assert without == ("", "")
    assert verified == 0
    assert "/etc/llama-herd/firewall.off" in missed.words()
    assert again.code == 0
    assert lab.play("playbooks/verify.yml").code == 0
