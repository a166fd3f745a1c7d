"""The closed form of distributed-llama's traffic gives what the engine printed."""

from __future__ import annotations

import math

import pytest

from analysis.cells.traffic import formula_holds, mbit_per_s, root_traffic


@pytest.mark.parametrize(("nodes", "sent", "received"), [(2, 21, 25), (4, 63, 63), (8, 147, 133)])
def test_it_gives_the_whole_kib_that_v0_16_printed_for_a_small_model(
    nodes: int, sent: int, received: int
) -> None:
    # dim 1024, 8 layers, 4096 tokens known, Q40 weights: recorded "Sent 21 kB Recv 25 kB" …
    found = root_traffic(nodes, 1024, 8, 4096, weights="q4_0")
    assert (math.floor(found.sent_kib), math.floor(found.received_kib)) == (sent, received)


@pytest.mark.parametrize(
    ("nodes", "sent", "received"), [(2, 288, 522), (4, 864, 1192), (8, 2016, 2342)]
)
def test_it_gives_the_known_figures_of_llama_3_8b(nodes: int, sent: int, received: int) -> None:
    found = root_traffic(nodes, 4096, 32, 128256, weights="q4_0")
    assert found.sent_kib == pytest.approx(sent, abs=1)
    assert found.received_kib == pytest.approx(received, abs=1)


def test_one_node_moves_nothing() -> None:
    found = root_traffic(1, 288, 6, 32000, weights="f32")
    assert (found.sent_kib, found.received_kib) == (0, 0)


def test_floats_are_exchanged_as_four_bytes() -> None:
    floats = root_traffic(2, 1024, 8, 4096, weights="f32").sent_kib
    assert floats == pytest.approx((4 * 1024 + 2 * 8 * 4 * 1024 + 8) / 1024)


@pytest.mark.parametrize(
    ("version", "holds"),
    [("v0.16.4", True), ("0.11.0", True), ("v0.10.6", False), ("8d624a7", True), (None, True)],
)
def test_it_holds_for_releases_with_the_same_algorithm(version: str | None, *, holds: bool) -> None:
    assert formula_holds(version) is holds


def test_a_kib_in_a_millisecond_is_eight_mbit_a_second() -> None:
    assert mbit_per_s(1, 1) == pytest.approx(8.192)
