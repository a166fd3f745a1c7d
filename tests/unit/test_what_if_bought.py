"""What to buy: guesses for machines of the catalogue, against what others published of them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from analysis.model.guesses import guess
from analysis.network.literature import load_publications
from analysis.network.published_fits import cells_of
from analysis.what_if.bought import ERROR, bought_lines, bought_of, time_of
from analysis.what_if.what_if_answer import what_if_machine_answer
from core.errors import HerdError

DLLAMA, LLAMA = "distributed-llama", "llama.cpp"
MODEL = "llama3.1-8b-instruct"
BOARDS = {"Raspberry Pi 4": "Raspberry Pi 4B", "Raspberry Pi 5": "Raspberry Pi 5"}


def test_guesses_meet_published_cells_with_the_error_that_is_printed() -> None:
    errors, covered = [], []
    for table in load_publications():
        for board, name in BOARDS.items():
            cells = cells_of(table).observations if table.machines.startswith(board) else ()
            for cell in cells:
                (middle, low, high), _ = time_of(guess(name), cell.setting)
                errors.append(abs(middle / cell.total_ms - 1))
                covered.append(low <= cell.total_ms <= high)
    told = re.search(r"For (\d+) .* off by (\d+) % .* by (\d+) % at most", ERROR)
    assert told
    figures = (len(errors), round(100 * float(np.median(errors))), round(100 * max(errors)))
    assert tuple(map(int, told.groups())) == figures
    assert all(covered)


def test_more_nodes_and_less_memory() -> None:
    one, four = bought_of("raspberry pi 5 8GB", DLLAMA, {"model": MODEL, "nodes": "1,4"})
    assert one.ms is not None
    assert four.ms is not None
    assert four.ms[0] < one.ms[0]
    assert one.ms[1] < one.ms[0] < one.ms[2]
    [small] = bought_of("Raspberry Pi 5 2 GB", DLLAMA, {"model": MODEL})
    assert "cannot hold it with room for 4096 tokens" in small.reason
    [many] = bought_of("Raspberry Pi 5", DLLAMA, {"model": MODEL, "nodes": "16"})
    assert "8 KV heads" in many.reason
    lines = list(bought_lines([one, four, small]))
    assert lines[0].startswith("A guess, because nothing was measured here: Raspberry Pi 5 ")
    assert sum("ms per token" in line for line in lines) == 2
    told = what_if_machine_answer([one, small]).answers
    assert told[0].ms_per_token == one.ms[0]
    assert told[1].cannot == small.reason


def test_a_faster_link_and_a_chain() -> None:
    flags = {"model": MODEL, "nodes": "4", "link": "100,10x"}
    slow, quick = bought_of("Raspberry Pi 5", DLLAMA, flags)
    assert slow.ms is not None
    assert quick.ms is not None
    assert quick.ms[0] < slow.ms[0]
    [chain] = bought_of("Raspberry Pi 5", LLAMA, {"model": MODEL, "nodes": "4"})
    assert chain.ms is not None
    assert chain.ms[0] > quick.ms[0]


def test_servers_that_pass_activations_on_are_asked_for_weights_that_they_load() -> None:
    usual, floats = (
        bought_of("Raspberry Pi 5 16GB", "petals", {"model": MODEL, "nodes": "4"} | weights)[0]
        for weights in ({}, {"weights": "f32"})
    )
    assert usual.ms is None
    assert "f32 or f16 weights, not with q4_0" in usual.reason
    assert floats.ms is not None


@pytest.mark.parametrize(
    ("machine", "engine", "flags", "reason"),
    [
        ("Raspberry Pi 9", DLLAMA, {"model": MODEL}, "has no Raspberry Pi 9"),
        (" ", DLLAMA, {"model": MODEL}, "--machine needs the name of a machine"),
        ("Apple Mac Studio M3 Ultra", DLLAMA, {"model": MODEL}, "Nothing can be guessed"),
        ("HiFive Premier P550", DLLAMA, {"model": MODEL}, "RISC-V"),
        ("Raspberry Pi 5 3GB", DLLAMA, {"model": MODEL}, "it is sold with"),
        ("Raspberry Pi 5", "vllm", {"model": MODEL}, "no formula is known"),
        ("Raspberry Pi 5", None, {"model": MODEL}, "needs --engine"),
        ("Raspberry Pi 5", DLLAMA, {}, "needs --model"),
        ("Raspberry Pi 5", DLLAMA, {"model": "lama"}, "has no model"),
        ("Raspberry Pi 5", DLLAMA, {"model": MODEL, "root": "pi1"}, "--root is about a run"),
        ("Raspberry Pi 5", DLLAMA, {"model": MODEL, "nodes": "x"}, "--nodes x"),
    ],
)
def test_what_cannot_be_guessed_is_refused(
    machine: str, engine: str | None, flags: dict[str, str | None], reason: str
) -> None:
    with pytest.raises(HerdError, match=re.escape(reason)):
        bought_of(machine, engine, flags)
