"""The closed forms of traffic give what was published and what engines printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analysis.model.shapes import shape_named
from analysis.model.wire import (
    Exchanged,
    Wire,
    is_chain,
    limit,
    root_has_classifier,
    traffic,
    wire_of,
)
from analysis.network.literature import Traffic, load_publications
from models.shape import ModelShape

DATA = Path(__file__).parents[1] / "data" / "distributed-llama"
ENGINE = "distributed-llama"
PUBLISHED = [row for table in load_publications() for row in table.traffic]


def shape(name: str) -> ModelShape:
    found = shape_named(name)
    assert found is not None, name
    return found


@pytest.mark.parametrize("row", PUBLISHED, ids=str)
def test_every_published_cell_is_met_within_a_kb(row: Traffic) -> None:
    wire: Wire = "star4" if row.sent_kb is None else "star10"
    found = traffic(wire, shape(row.model), row.nodes, row.exchanged)
    if row.sent_kb is None:
        assert found.sent_kib + found.received_kib == pytest.approx(row.total_kb, abs=1)
    else:
        assert found.sent_kib == pytest.approx(row.sent_kb, abs=1)
        assert found.received_kib == pytest.approx(row.received_kb, abs=1)


@pytest.mark.parametrize(
    ("wire", "model", "nodes", "sent", "received"),
    [
        # Issue 20, pull requests 46, 64 and 136 of b4rtaz/distributed-llama.
        ("star10", "Llama-3-8B", 2, 646, 476),
        ("star10", "Llama-3-8B", 4, 2295, 714),
        ("star6", "Llama-3-8B", 2, 510, 442),
        ("star6", "Llama-3-8B", 4, 1887, 867),
        ("star4", "Llama-3-8B", 2, 272, 272),
        ("star4", "Llama-3-8B", 4, 816, 816),
        ("mesh2", "Llama-3-8B", 2, 288, 522),
        ("mesh2", "Llama-3-8B", 4, 864, 1192),
        ("mesh2", "Llama-3-8B", 8, 2016, 2342),
        ("mesh2", "Llama-2-7B", 8, 2016, 2013),
        ("mesh2", "Llama-3.2-1B", 4, 228, 580),
        ("mesh2", "Llama-3.2-3B", 2, 190, 429),
        ("mesh2", "Llama-3.3-70B", 8, 9744, 9958),
    ],
)
def test_further_figures_that_upstream_and_its_users_printed(
    wire: Wire, model: str, nodes: int, sent: int, received: int
) -> None:
    found = traffic(wire, shape(model), nodes, "q80")
    assert found.sent_kib == pytest.approx(sent, abs=1)
    assert found.received_kib == pytest.approx(received, abs=1)


LOGS = {
    "inf_small_q40_n1": ("v0.16.4", 1, "q80"),
    "inf_small_q40_n2": ("v0.16.4", 2, "q80"),
    "inf_small_q40_n2_noturbo": ("v0.16.4", 2, "q80"),
    "inf_small_q40_n4_noturbo": ("v0.16.4", 4, "q80"),
    "kill_worker_mid": ("v0.16.4", 4, "q80"),
    "old_v0.12.0_n2": ("v0.12.0", 2, "q80"),
    "old_v0.12.8_n2": ("v0.12.8", 2, "q80"),
    "old_v0.9.2_n2": ("v0.9.2", 2, "q80"),
    "old_v0.4.0_n2": ("v0.4.0", 2, "q80"),
    "old_v0.3.1_n2": ("v0.3.1", 2, "q80"),
}


@pytest.mark.parametrize("case", LOGS)
def test_every_token_of_the_recorded_logs_is_met_within_a_kb(case: str) -> None:
    version, nodes, exchanged = LOGS[case]
    text = (DATA / case / "root.out").read_text(errors="replace")
    wire = wire_of(ENGINE, version, {})
    assert wire is not None
    found = traffic(wire, _shape_in(text), nodes, _exchanged(exchanged))
    told = re.findall(r"^🔶.*?\bS(?:ent)? +(\d+) kB R(?:ecv)? +(\d+) kB", text, re.MULTILINE)
    if "Avg generation time" in text:
        told = told[1:]  # the first token of these has the weights
    assert len(told) > 4
    for sent, received in told:
        assert found.sent_kib == pytest.approx(int(sent), abs=1)
        assert found.received_kib == pytest.approx(int(received), abs=1)


def _exchanged(name: str) -> Exchanged:
    return "f32" if name == "f32" else "q80"


def _shape_in(text: str) -> ModelShape:
    """The shape that the root's log prints."""
    told = re.findall(r"💡 (\w+): (\d+)$", text, re.MULTILINE)
    facts = {key.lower(): int(value) for key, value in told}
    heads = facts["nheads"]
    return ModelShape(
        dim=facts["dim"],
        hidden_dim=facts["hiddendim"],
        layers=facts["nlayers"],
        heads=heads,
        kv_heads=facts["nkvheads"],
        head_dim=facts.get("headdim", facts["dim"] // heads),
        vocab=facts["vocabsize"],
        context=facts["seqlen"],
    )


@pytest.mark.parametrize(
    ("version", "wire"),
    [
        ("v0.1.0", "star10"), ("0.4.0", "star10"), ("0.5.0", "star6"), ("v0.7.0", "star6"),
        ("0.7.1", "star4"), ("v0.10.6", "star4"), ("v0.11.0", "mesh2"), ("0.16.4", "mesh2"),
        ("8d624a7b1f9acc0855d71a32519b22fe51e0bd86", "mesh2"), ("8d624a7", "mesh2"),
        (None, "mesh2"),
    ],
)  # fmt: skip
def test_a_release_has_one_wire_and_a_commit_the_newest(version: str | None, wire: Wire) -> None:
    assert wire_of(ENGINE, version, {}) == wire


def test_what_has_no_formula_has_no_wire() -> None:
    assert wire_of("llama.cpp", "0.7.0", {"split_mode": "layer"}) == "chain_client"
    assert wire_of("llama.cpp", "0.7.0", {"split_mode": "tensor"}) is None
    assert wire_of(ENGINE, "0.0.9", {}) is None
    assert wire_of("another", "1.0", {}) is None


@pytest.mark.parametrize("wire", ["star10", "star6", "star4", "mesh2", "chain_client"])
def test_one_node_moves_nothing(wire: Wire) -> None:
    found = traffic(wire, shape("Llama-3-8B"), 1, "q80")
    assert (found.sent_bytes, found.received_bytes, found.line_bytes, found.steps) == (0, 0, 0, 0)


def test_a_chain_moves_as_much_with_four_nodes_as_it_has_hops() -> None:
    two, four = (traffic("chain_push", shape("Llama-3.3-70B"), n, "f32") for n in (2, 4))
    assert two.sent_kib == four.sent_kib == 16  # two bytes for each of 8192 values
    assert four.line_bytes == 2 * two.line_bytes
    assert (two.remote_steps, four.remote_steps) == (2, 4)
    clients = [traffic("chain_client", shape("Llama-3-8B"), n, "f32") for n in (2, 3)]
    assert clients[1].sent_bytes - clients[0].sent_bytes == 4 * 4096
    assert [one.remote_steps for one in clients] == [2, 4]


def test_limits_follow_from_what_is_shared() -> None:
    assert "8 KV heads" in str(limit("mesh2", shape("Llama-3-8B"), "q4_0", 16))
    assert limit("mesh2", shape("Llama-3-8B"), "q4_0", 8) is None
    assert "32 layers" in str(limit("chain_push", shape("Llama-3-8B"), "f32", 33))
    assert is_chain("chain_push")
    assert root_has_classifier("star4")
    assert not root_has_classifier("mesh2")
