"""The memory that is foretold is the memory that the real engine takes."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from experiments.engines import llama_cpp_memory
from models.catalogue import load_catalogue
from models.dllama_memory import dllama_need, dllama_required
from models.shape import Weights

CATALOGUE = load_catalogue()
MIB = 1024 * 1024


class Measured(NamedTuple):
    """distributed-llama 0.16.4 (8d624a7) on one machine, a process a node, one thread each.

    `root` and `worker` are `RequiredMemory` as printed (whole MiB, rounded down; the worker is
    the last, which needs most), the others the highest RssAnon of /proc, in MiB.
    """

    name: str
    weights: Weights
    nodes: int
    context: int
    root: int
    worker: int | None
    root_anon: int
    worker_anon: int | None


MEASURED = [
    Measured("synthetic:small", "f32", 1, 512, 414, None, 415, None),
    Measured("synthetic:small", "f32", 2, 512, 216, 200, 225, 207),
    Measured("synthetic:small", "f32", 4, 512, 117, 101, 122, 105),
    Measured("synthetic:small", "f32", 8, 512, 67, 52, 71, 55),
    Measured("synthetic:small", "q4_0", 1, 512, 91, None, 92, None),
    Measured("synthetic:small", "q4_0", 2, 512, 54, 38, 56, 40),
    Measured("synthetic:small", "q4_0", 4, 512, 35, 20, 37, 22),
    Measured("synthetic:small", "q4_0", 8, 512, 26, 11, 28, 12),
    Measured("stories15m+kv16", "f32", 1, 256, 124, None, 127, None),
    Measured("stories15m+kv16", "f32", 2, 256, 82, 46, 102, 65),
    Measured("stories15m+kv16", "f32", 4, 256, 60, 25, 72, 32),
    Measured("stories15m+kv16", "f32", 8, 256, 50, 15, 57, 20),
    Measured("stories15m+kv16", "q4_0", 1, 256, 64, None, 66, None),
    Measured("stories15m+kv16", "q4_0", 2, 256, 51, 16, 56, 17),
    Measured("stories15m+kv16", "q4_0", 4, 256, 45, 10, 49, 11),
    Measured("stories15m+kv16", "q4_0", 8, 256, 42, 7, 45, 8),
    Measured("smollm2-135m", "q4_0", 1, 2048, 290, None, 294, None),
    Measured("smollm2-135m", "q4_0", 3, 2048, 173, 67, 183, 74),
    Measured("tinyllama-1.1b", "q4_0", 1, 2048, 930, None, 933, None),
    Measured("tinyllama-1.1b", "q4_0", 2, 2048, 592, 349, 614, 369),
    Measured("tinyllama-1.1b", "q4_0", 4, 2048, 424, 184, 437, 195),
    Measured("synthetic:small", "q4_0", 2, 64, 46, 30, 48, 31),
]
REQUIRED = [
    *(measured[:6] for measured in MEASURED),
    ("qwen3-0.6b", "q4_0", 1, 4096, 1859, None),
    ("qwen3-0.6b", "q4_0", 2, 4096, 1237, 643),
    ("qwen3-0.6b", "q4_0", 4, 4096, 926, 332),
    ("llama3.2-1b-instruct", "q4_0", 1, 4096, 2006, None),
    ("llama3.2-1b-instruct", "q4_0", 2, 4096, 1513, 523),
    ("llama3.2-1b-instruct", "q4_0", 4, 4096, 1266, 282),
]
"""Model, weights, nodes, context, and what root and last worker printed as `RequiredMemory`."""


@pytest.mark.parametrize(("name", "weights", "nodes", "context", "root", "worker"), REQUIRED)
def test_the_engine_requires_what_the_formula_says_to_the_mib(
    name: str, weights: Weights, nodes: int, context: int, root: int, worker: int | None
) -> None:
    need = dllama_required(CATALOGUE.get(name).shape, weights, nodes, context)
    assert need.root_bytes // MIB == root
    if worker is not None:
        assert need.worker_bytes // MIB == worker


def test_a_longer_context_costs_qwen3_one_head_of_angles_and_llama_all_of_them() -> None:
    """At its own context of 40960 a Qwen3 14B worker on 8 nodes needs 2612 MiB, not 3252."""
    shape = CATALOGUE.get("qwen3-14b").shape
    as_llama = shape.model_copy(update={"architecture": "llama"})
    qwen3 = dllama_required(shape, "q4_0", 8, 40_960).worker_bytes // MIB
    llama = dllama_required(as_llama, "q4_0", 8, 40_960).worker_bytes // MIB
    assert llama - qwen3 > 600


@pytest.mark.parametrize("seen", MEASURED)
def test_a_process_takes_no_more_than_foretold_and_at_most_8_mib_less(seen: Measured) -> None:
    """Not every page of a buffer is touched, and pieces of a vocabulary differ in length."""
    shape = CATALOGUE.get(seen.name).shape
    need = dllama_need(shape, seen.weights, seen.nodes, seen.context)
    assert 0 <= need.root_mib - seen.root_anon <= 8
    if seen.worker_anon is not None:
        assert 0 <= need.worker_mib - seen.worker_anon <= 8


def test_more_nodes_and_smaller_weights_need_less_of_each() -> None:
    small = CATALOGUE.get("synthetic:small").shape
    for memory_need in (llama_cpp_memory.memory_need, dllama_need):
        needs = [memory_need(small, "f32", n, 512).worker_mib for n in (1, 2, 4, 8)]
        assert needs[1:] == sorted(needs[1:], reverse=True)
        assert memory_need(small, "q4_0", 2, 512).worker_mib < needs[1]
        assert memory_need(small, "f32", 2, 4096).worker_mib > needs[1]


def test_a_long_context_is_most_of_what_a_large_model_needs() -> None:
    """Llama 3.1 8B: 131072 tokens would take a Raspberry Pi's whole memory on each of 4 nodes."""
    name = "synthetic:dim=4096,hidden=14336,layers=32,heads=32,kv_heads=8,vocab=4096,context=131072"
    shape = CATALOGUE.get(name).shape
    long = dllama_need(shape, "q4_0", 4, 131_072).worker_mib
    short = dllama_need(shape, "q4_0", 4, 4096).worker_mib
    assert long > 8192
    assert short < 1600
