"""`fab probe` on doubles: what is measured, and what becomes of nodes that cannot be measured."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from collect.probe import LinkProbe, ProbeRecord
from core.errors import HerdError
from experiments.fleet.cluster import Cluster, Node
from experiments.fleet.limit import chosen
from experiments.nodes.facts import HELPER_VERSION
from experiments.nodes.launcher import NodeLostError, Reply, Request, UnitState
from experiments.nodes.owner import Owner
from experiments.probing.order import by_asking, links_to_measure, rounds
from experiments.probing.run import port, probe_on
from experiments.probing.show import show_probe, troubles, verdicts
from tests.doubles.child_launcher import ChildLauncher

NAMES = ("pi1", "pi2", "pi3")
MEMORY = {"kind": "memory", "loop": "memchr", "array_mib": 64, "cache_mib": 1}
END = {"kind": "end"}


def cluster(*names: str, network: str = "127.91.0") -> Cluster:
    return Cluster(
        tuple(
            Node(name=name, address="", engine_address=f"{network}.{number}")
            for number, name in enumerate(names, start=1)
        )
    )


def memory(gbs: object = 4.0) -> dict[str, Any]:
    return {**MEMORY, "one": [gbs] * 5, "all": [gbs] * 5}


def arithmetic(gflops: object = 20.0) -> dict[str, Any]:
    return {"kind": "arithmetic", "compiler": "cc", "one": [gflops], "all": [gflops]}


def link(address: str, **change: object) -> dict[str, Any]:
    told = {
        "kind": "link",
        "address": address,
        "half_us": [90.0, 100.0, 120.0],
        "exchanges": 500,
        "out": [29_000_000, 0.25],
        "in": [28_000_000, 0.25],
    }
    return {**told, **change}


def text(*lines: dict[str, Any]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@dataclass
class Scripted:
    """A launcher whose nodes say what a test has them say.

    Attributes:
        out: by node, what its own measurement prints.
        links: by node, what it prints about a link to an address.
        replies: by node and verb, a reply of the test's own, or what it raises.
        boots: by node, which kernel it runs.
    """

    out: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, Callable[[str], dict[str, Any]]] = field(default_factory=dict)
    replies: dict[tuple[str, str], Reply | Exception] = field(default_factory=dict)
    boots: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, Request]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def open(self, node: Node) -> Spoken:
        return Spoken(node, self)

    def drop(self, node: Node) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass
class Spoken:
    node: Node
    script: Scripted
    reply: Reply | None = None

    def send(self, request: Request) -> None:
        self.script.asked.append((self.node.name, request))
        scripted = self.script.replies.get((self.node.name, request.verb))
        if isinstance(scripted, Exception):
            raise scripted
        self.reply = scripted or self._answer(request)

    def _answer(self, request: Request) -> Reply:
        argv = [value for key, value in request.fields if key == "arg"]
        parts: dict[str, bytes] = {}
        if request.verb == "facts":
            facts = {"cores": 4, "memory_mib": 8000, "available_mib": 6000, "machine_id": "m"}
            facts["boot_id"] = self.script.boots.get(self.node.name, self.node.name)
            parts = {"helper": HELPER_VERSION.encode(), "facts": json.dumps(facts).encode()}
        elif argv[1:2] == ["node"]:
            parts = {"out": self.script.out.get(self.node.name, text(memory(), arithmetic(), END))}
        elif argv[1:2] == ["links"]:
            says = self.script.links.get(self.node.name, link)
            parts = {"out": text(*map(says, argv[3:]), END)}
        return Reply(request.verb, ok=True, parts=parts, state=UnitState(exit_code=0))

    def poll(self, _timeout_s: float) -> Reply | None:
        return self.reply

    def close(self, _timeout_s: float) -> None:
        self.script.closed.append(self.node.name)


def probed(script: Scripted, *names: str) -> ProbeRecord:
    return probe_on(cluster(*(names or NAMES)), script, hear=lambda _: None)


def test_children_measure_each_other_and_none_is_left(tmp_path: Path) -> None:
    begun = time.monotonic()
    record = probe_on(cluster("a", "b"), ChildLauncher(tmp_path), hear=lambda _: None)
    assert [node.name for node in record.nodes] == ["a", "b"]
    for node in record.nodes:
        assert node.memory_all_gbs is not None
        assert 0.2 < node.memory_all_gbs < 2000
        assert node.machine["machine_id"] == "m"
    assert {(one.source, one.target) for one in record.links} == {("a", "b"), ("b", "a")}
    for one in record.links:
        assert 0.5 < one.latency_us < 100_000
        assert one.rate_mbit > 10
    assert record.left_out == {}
    assert record.links_left_out == ()
    assert record.took_s <= time.monotonic() - begun
    listening = f":{port():04X} "
    assert not any(
        listening in line and "5B7F" in line
        for line in Path("/proc/net/tcp").read_text().split("\n")
    )


def test_figures_are_medians_and_rates_of_both_directions() -> None:
    script = Scripted(out={"pi1": text({**MEMORY, "one": [1.0, 9.0, 3.0], "all": [5.0, 4.0]}, END)})
    record = probed(script)
    first = record.nodes[0]
    assert first.memory_one_gbs == pytest.approx(3.0)
    assert first.memory_all_gbs == pytest.approx(4.5)
    assert first.memory_spread == pytest.approx(1 / 4.5)
    assert first.arithmetic_all_gflops is None
    there, back = record.link("pi1", "pi2"), record.link("pi2", "pi1")
    assert there is not None
    assert back is not None
    assert (there.rate_mbit, back.rate_mbit) == pytest.approx((928.0, 896.0))
    assert there.latency_us == back.latency_us == pytest.approx(100.0)
    assert len(record.links) == 6


@pytest.mark.parametrize(
    ("out", "why"),
    [
        (text(memory(float("nan")), END), "kind|finite|number"),
        (text(memory(-1.0), END), "greater than 0"),
        (text(memory(1e300), END), "less than or equal"),
        (text(memory("9" * 300), END), "valid number"),
        (text(memory([]), END), "valid number"),
        (text({**memory(), "surprise": 1}, END), "Extra inputs"),
        (text({"kind": "miracle"}), "does not match"),
        (b"\x00\xff\x1b[31m\n", "JSON"),
        (b"[" * 100_000 + b"\n", "JSON"),
        (b"x" * (2 << 20), "too many"),
        (b"", "measured nothing"),
    ],
)
def test_a_node_that_says_what_cannot_be_is_named_and_the_others_are_measured(
    out: bytes, why: str
) -> None:
    script = Scripted(out={"pi2": out})
    record = probed(script)
    assert [node.name for node in record.nodes] == ["pi1", "pi3"]
    assert list(record.left_out) == ["pi2"]
    with pytest.raises(ValueError, match=why):
        raise ValueError(record.left_out["pi2"])
    assert record.left_out["pi2"].isprintable()
    assert {(one.source, one.target) for one in record.links} == {("pi1", "pi3"), ("pi3", "pi1")}
    assert set(script.closed) == {*NAMES}


@pytest.mark.parametrize(
    "change",
    [
        {"half_us": [100.0, 90.0, 120.0]},
        {"half_us": [0.0, 0.0, 0.0]},
        {"half_us": [float("inf")] * 3},
        {"exchanges": 0},
        {"out": [0, 0.25]},
        {"out": [10**15, 1e-9]},
        {"in": [-5, 0.25]},
        {"address": "192.0.2.99"},
    ],
)
def test_a_link_that_cannot_be_is_named_and_the_others_are_kept(change: dict[str, Any]) -> None:
    script = Scripted(links={"pi2": lambda address: {**link(address), **change}})
    record = probed(script)
    assert {frozenset((one.source, one.target)) for one in record.links} == {
        frozenset(("pi1", "pi2")),
        frozenset(("pi1", "pi3")),
    }
    (sentence,) = record.links_left_out
    assert sentence.startswith("The link pi2 to pi3 was not measured: ")


def test_a_firewall_in_between_is_named() -> None:
    said = {"kind": "remark", "text": "no connection within 3 s: a firewall may be in between"}
    script = Scripted(links={"pi1": lambda address: {**said, "address": address}})
    record = probed(script, "pi1", "pi2")
    assert record.links == ()
    assert record.links_left_out == (f"The link pi1 to pi2 was not measured: {said['text']}.",)
    assert len(record.nodes) == 2


def test_a_node_that_dies_in_the_middle_costs_its_own_figures_only() -> None:
    lost = NodeLostError("pi2", "the connection to pi2 broke")
    record = probed(Scripted(replies={("pi2", "run"): lost}))
    assert [node.name for node in record.nodes] == ["pi1", "pi3"]
    assert record.left_out == {"pi2": "the connection to pi2 broke"}


def test_a_node_that_dies_while_it_listens_costs_its_links_only() -> None:
    lost = NodeLostError("pi3", "the connection to pi3 broke")
    record = probed(Scripted(replies={("pi3", "start"): lost}))
    assert len(record.nodes) == 3
    assert {frozenset((one.source, one.target)) for one in record.links} == {
        frozenset(("pi1", "pi2"))
    }
    assert record.links_left_out == (
        "Links to pi3 were not measured: the connection to pi3 broke.",
    )


def test_a_port_that_is_taken_is_never_connected_to() -> None:
    refused = Reply("start", ok=False, parts={"error": b"port 9999 is taken by dllama (process 7)"})
    script = Scripted(replies={("pi2", "start"): refused})
    record = probed(script)
    addresses = {
        value
        for _, request in script.asked
        for key, value in request.fields
        if key == "arg" and request.verb == "run"
    }
    assert "127.91.0.2" not in addresses
    assert "127.91.0.3" in addresses
    assert any("taken by dllama" in one for one in record.links_left_out)


def test_a_node_of_another_runner_is_named() -> None:
    who = Owner("kim", "desk", 77, "2026-11-29T10:00:00").line()
    taken = Reply("own", ok=False, parts={"owner": who.encode(), "error": b"another runner"})
    record = probed(Scripted(replies={("pi1", "own"): taken}))
    assert "in use by the runner of kim@desk (process 77" in record.left_out["pi1"]
    assert [node.name for node in record.nodes] == ["pi2", "pi3"]


def test_a_node_with_an_older_helper_is_told_to_be_provisioned() -> None:
    facts = {"facts": b'{"cores": 4, "memory_mib": 100}', "helper": b"11"}
    record = probed(Scripted(replies={("pi3", "facts"): Reply("facts", ok=True, parts=facts)}))
    assert "provision.yml" in record.left_out["pi3"]


def test_an_emulated_node_is_not_measured() -> None:
    facts = {
        "facts": b'{"cores": 4, "memory_mib": 100, "emulated": true}',
        "helper": HELPER_VERSION.encode(),
    }
    record = probed(Scripted(replies={("pi3", "facts"): Reply("facts", ok=True, parts=facts)}))
    assert "emulated" in record.left_out["pi3"]


def test_what_was_measured_before_a_program_was_killed_is_kept() -> None:
    killed = Reply(
        "run", ok=True, parts={"out": text(memory())}, state=UnitState(signal=9, result="oom-kill")
    )
    record = probed(Scripted(replies={("pi1", "run"): killed}), "pi1")
    (node,) = record.nodes
    assert node.memory_all_gbs == pytest.approx(4.0)
    assert node.remarks == ("the program that measures ended early: signal 9, oom-kill",)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (UnitState(), "no status"),
        (UnitState(exit_code=1), "status 1"),
        (UnitState(signal=15, result="timeout"), "signal 15, timeout"),
    ],
)
def test_how_a_program_ended_early_is_said(state: UnitState, why: str) -> None:
    ended = Reply("run", ok=True, parts={"out": text(memory())}, state=state)
    (node,) = probed(Scripted(replies={("pi1", "run"): ended}), "pi1").nodes
    assert node.remarks == (f"the program that measures ended early: {why}",)


def test_no_node_at_all_is_an_error_with_every_reason() -> None:
    script = Scripted(out={"pi1": b"", "pi2": b"nonsense\n"})
    with pytest.raises(HerdError, match=r"No node could be measured\. pi1: .*pi2: "):
        probed(script, "pi1", "pi2")
    assert set(script.closed) == {"pi1", "pi2"}


def test_a_quarter_of_the_free_memory_is_read_at_most() -> None:
    script = Scripted()
    little = b'{"cores": 1, "memory_mib": 900, "available_mib": 200}'
    facts = {"facts": little, "helper": HELPER_VERSION.encode()}
    script.replies["pi1", "facts"] = Reply("facts", ok=True, parts=facts)
    probed(script, "pi1")
    (run,) = [request for _, request in script.asked if request.verb == "run"]
    assert [value for key, value in run.fields if key == "arg"][1:] == ["node", "50", "1"]


def test_nodes_of_one_machine_are_measured_one_after_the_other() -> None:
    nodes = cluster("a", "b", "c", "d").nodes
    booted = [
        replace(node, facts={"boot_id": boot})
        for node, boot in zip(nodes, ("x", "x", "y", None), strict=True)
    ]
    assert [[one.name for one in turn] for turn in rounds(booted)] == [["a", "c", "d"], ["b"]]
    record = probed(Scripted(boots={"pi1": "x", "pi2": "x"}))
    assert [bool(node.remarks) for node in record.nodes] == [True, True, False]


def test_of_many_nodes_the_root_with_all_and_a_ring_is_measured() -> None:
    kind, pairs = links_to_measure(cluster(*(f"n{i}" for i in range(8))).nodes)
    assert (kind, len(pairs)) == ("all", 28)
    kind, pairs = links_to_measure(cluster(*(f"n{i}" for i in range(9))).nodes)
    assert kind == "star and ring"
    named = [(pair.asks.name, pair.listens.name) for pair in pairs]
    assert named[:8] == [("n0", f"n{i}") for i in range(1, 9)]
    assert named[8:] == [(f"n{i}", f"n{i + 1}") for i in range(1, 8)]
    assert links_to_measure(cluster("n0").nodes) == ("all", [])


def test_a_thousand_nodes_get_requests_that_a_helper_takes() -> None:
    nodes = cluster(*(f"n{i}" for i in range(1000)), network="10.0")
    named = [
        replace(n, engine_address=f"10.0.{i >> 8}.{i & 255}") for i, n in enumerate(nodes.nodes)
    ]
    _, pairs = links_to_measure(named)
    turns = list(by_asking(pairs))
    assert max(len(listens) for _, listens in turns) <= 20
    assert sum(len(listens) for _, listens in turns) == len(pairs) == 999 + 998
    script = Scripted()
    probe_on(Cluster(tuple(named[:30])), script, hear=lambda _: None)
    for _, request in script.asked:
        for key, value in request.fields:
            assert key != "deadline" or 0 < int(value) <= 86_400


def test_the_slowest_node_and_link_are_named_with_their_figures() -> None:
    slow = {"out": [2_500_000, 0.25], "in": [2_600_000, 0.25], "half_us": [900.0, 950.0, 999.0]}
    record = probed(
        Scripted(
            out={"pi2": text(memory(1.0), END)},
            links={"pi1": lambda address: link(address, **(slow if address[-1] == "3" else {}))},
        )
    )
    assert list(verdicts(record)) == [
        "Slowest node: pi2 reads 1.00 GB/s from its memory; the median of all is 4.00 GB/s.",
        "Slowest link: pi1 to pi3 carries 80.0 Mbit/s; the median of all is 896 Mbit/s.",
        "Longest latency: pi1 to pi3 takes 950 us; the median of all is 100 us.",
    ]
    console = Console(record=True, width=120)
    show_probe(record, console)
    printed = console.export_text()
    assert all(word in printed for word in ("GB/s", "GFLOP/s", "Mbit/s", "us", "pi1, pi3"))


def test_a_link_that_was_slow_once_is_not_called_slow() -> None:
    turns: list[str] = []

    def says(address: str) -> dict[str, Any]:
        turns.append(address)
        is_first = turns.count(address) == 1 and address.endswith("3")
        slow = {"out": [1000, 0.25], "half_us": [700.0, 800.0, 900.0]}
        return link(address, **(slow if is_first else {}))

    record = probed(Scripted(links={"pi1": says}))
    assert turns == ["127.91.0.2", "127.91.0.3", "127.91.0.3"]
    again = record.link("pi1", "pi3")
    assert again is not None
    assert again.rate_mbit == pytest.approx(928.0)
    assert again.latency_us == pytest.approx(100.0)
    assert list(verdicts(record))[1:] == ["No link is slower than the median by more than 20%."]


def test_a_second_look_that_fails_leaves_the_first_figure() -> None:
    turns: list[str] = []

    def says(address: str) -> dict[str, Any]:
        turns.append(address)
        if turns.count(address) > 1:
            return {"kind": "remark", "text": "Connection refused", "address": address}
        return link(address, **({"out": [1000, 0.25]} if address.endswith("3") else {}))

    record = probed(Scripted(links={"pi1": says}))
    first = record.link("pi1", "pi3")
    assert first is not None
    assert first.rate_mbit == pytest.approx(0.032)
    assert record.links_left_out == ()


def equal(seed: int, slow_link: str = "") -> ProbeRecord:
    """Eight equal nodes whose figures vary by 10 %; one transfer in twenty is disturbed."""
    chance = random.Random(seed)  # noqa: S311 - the same draws each time

    def figure(usual: float) -> float:
        return usual * math.exp(chance.gauss(0, 0.1))

    def says(address: str) -> dict[str, Any]:
        disturbed = chance.uniform(1.5, 50) if chance.random() < 0.05 else 1
        sizes = [int(figure(29e6 / disturbed)), int(figure(29e6))]
        if address.endswith(slow_link or "none"):
            sizes = [size // 2 for size in sizes]
        half_us = sorted(figure(100) for _ in range(3))
        return link(address, out=[sizes[0], 0.25], **{"in": [sizes[1], 0.25]}, half_us=half_us)

    names = [f"n{i}" for i in range(8)]
    out = {
        name: text({**MEMORY, "one": [4.0], "all": [figure(4) for _ in range(3)]}, END)
        for name in names
    }
    return probed(Scripted(out=out, links=dict.fromkeys(names, says)), *names)


def test_of_equal_nodes_and_links_hardly_ever_one_is_called_slow() -> None:
    said = [[one for one in verdicts(equal(seed)) if "lowest" in one] for seed in range(40)]
    assert sum(any("link" in one for one in words) for words in said) <= 2
    assert sum(any("node" in one for one in words) for words in said) <= 2


def test_a_link_of_half_the_rate_is_always_called_slow() -> None:
    for seed in range(20):
        assert any("Slowest link" in one and "n7" in one for one in verdicts(equal(seed, ".8")))


def test_so_many_links_are_measured_again_and_no_more() -> None:
    names = [f"n{i}" for i in range(9)]
    turns: list[str] = []

    def says(address: str) -> dict[str, Any]:
        turns.append(address)
        slow = {"out": [1000, 0.25], "in": [1000, 0.25]}
        far = {"half_us": [900.0, 900.0, 900.0]}
        number = int(address.rpartition(".")[2])
        return link(address, **({} if number == 9 else [slow, far][number % 2]))

    probed(Scripted(links=dict.fromkeys(names, says)), *names)
    assert len(turns) == 8 + 7 + 8 + 4 + 4


@pytest.mark.parametrize("direction", ["both", "from"])
def test_a_node_whose_every_link_is_slow_is_named_instead_of_one_link(direction: str) -> None:
    record = probed(Scripted(), "n1", "n2", "n3", "n4")

    def rate(one: LinkProbe) -> float:
        ends = (one.source, one.target) if direction == "both" else (one.source,)
        return 19.0 if "n2" in ends else 900.0

    links = tuple(one.model_copy(update={"rate_mbit": rate(one)}) for one in record.links)
    told = " ".join(verdicts(record.model_copy(update={"links": links})))
    of_one = "Slowest link: that of n2, with 19.0 Mbit/s at most to and from each other node"
    assert (of_one in told) is (direction == "both")
    assert ("Slowest link: n2 to n1 carries 19.0 Mbit/s" in told) is (direction == "from")


def test_alike_nodes_have_no_slowest() -> None:
    record = probed(Scripted(out={"pi2": text(memory(3.5), END)}))
    assert list(verdicts(record)) == [
        "The memory of no node is slower than the median by more than 20%.",
        "No link is slower than the median by more than 20%.",
    ]


def test_figures_that_differ_among_themselves_name_no_slowest() -> None:
    wide = {**MEMORY, "one": [4.0], "all": [1.0, 2.0, 4.0]}
    record = probed(Scripted(out={"pi2": text(wide, END)}))
    assert next(verdicts(record)).startswith("The memory of no node is slower")


def test_everything_that_is_missing_is_printed() -> None:
    lost = NodeLostError("pi2", "the connection to pi2 broke")
    remark = {"kind": "remark", "text": "the arithmetic was not measured: there is no C compiler"}
    record = probed(
        Scripted(out={"pi1": text(memory(), remark, END)}, replies={("pi2", "run"): lost})
    )
    assert list(troubles(record)) == [
        "pi1: the arithmetic was not measured: there is no C compiler.",
        "pi2 was not measured: the connection to pi2 broke.",
    ]


def test_a_limit_names_nodes_in_its_own_order() -> None:
    nodes = cluster(*NAMES).nodes
    assert [node.name for node in chosen(nodes, "pi3, pi1,pi3")] == ["pi3", "pi1"]
    with pytest.raises(HerdError, match=r"has no pi9; it has pi1, pi2, pi3\."):
        chosen(nodes, "pi1,pi9")
    with pytest.raises(HerdError, match="no such node"):
        chosen(nodes, ",")
