"""What cannot run is known, with its reason, before anything is started."""

from __future__ import annotations

import pytest

from models.catalogue import load_catalogue
from models.limits import dllama_impossible, node_counts, shareable_name
from models.shape import ModelShape, Weights, lacks_blocks

CATALOGUE = load_catalogue()
STORIES = CATALOGUE.get("stories15m")
PADDED = CATALOGUE.get("stories15m+kv16")
WRITTEN = PADDED.shape
WIDE = ModelShape(
    dim=64, hidden_dim=192, layers=2, heads=16, kv_heads=8, head_dim=8, vocab=512, context=64
)
"""Of a shape that all weights can have."""


@pytest.mark.parametrize("weights", ["f32", "q4_0"])
@pytest.mark.parametrize("nodes", [1, 2, 4, 8])
def test_the_padded_stories_run_on_1_2_4_and_8_nodes(weights: Weights, nodes: int) -> None:
    assert dllama_impossible(WRITTEN, weights, nodes) is None


@pytest.mark.parametrize(
    ("shape", "weights", "nodes", "reason"),
    [
        (STORIES.shape, "f32", 3, "32000 vocabulary tokens cannot be divided evenly among 3"),
        (STORIES.shape, "q4_0", 2, "144 attention values .* whole number of Q40 blocks of 32"),
        (STORIES.shape, "f32", 8, "6 KV heads"),
        (STORIES.shape, "f32", 4, "6 KV heads cannot be divided evenly among 4"),
        (WRITTEN, "f32", 5, "16 KV heads cannot be divided evenly among 5"),
        (WRITTEN, "q4_0", 16, "48 attention values"),
        (WRITTEN, "q8_0", 1, "cannot run q8_0"),
        (WIDE.model_copy(update={"hidden_dim": 172}), "f32", 1, "172 feed-forward .* groups of 8"),
        (WIDE.model_copy(update={"hidden_dim": 176}), "f32", 4, "44 feed-forward .* groups of 8"),
        (
            WIDE.model_copy(update={"hidden_dim": 176}),
            "q4_0",
            1,
            "hidden_dim .176. is not a multiple",
        ),
        (
            WIDE.model_copy(update={"head_dim": 4}),
            "q4_0",
            1,
            "4 values of a head are not a multiple",
        ),
        (WIDE.model_copy(update={"dim": 44}), "f32", 1, "44 values of a token are not a multiple"),
    ],
)
def test_each_rule_of_the_engine_has_its_reason(
    shape: ModelShape, weights: Weights, nodes: int, reason: str
) -> None:
    found = dllama_impossible(shape, weights, nodes)
    assert found is not None
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found)


def test_float32_is_shared_without_blocks_of_32() -> None:
    shape = WIDE.model_copy(update={"hidden_dim": 176})
    assert dllama_impossible(shape, "f32", 2) is None
    assert lacks_blocks(shape, "f16") is None
    assert "blocks of 32 values" in (lacks_blocks(shape, "q8_0") or "")


@pytest.mark.parametrize(
    ("name", "weights", "nodes", "remedy"),
    [
        ("stories15m", "f32", 4, "stories15m+kv16"),
        ("stories15m", "q4_0", 2, "stories15m+kv16"),
        ("stories15m+kv8", "q4_0", 8, "stories15m+kv16"),
        ("stories15m", "f32", 3, None),
        ("stories15m", "q8_0", 2, None),
        ("synthetic:small", "q4_0", 11, None),
    ],
)
def test_a_model_that_cannot_be_shared_names_the_one_that_can(
    name: str, weights: Weights, nodes: int, remedy: str | None
) -> None:
    assert dllama_impossible(CATALOGUE.get(name).shape, weights, nodes)
    assert shareable_name(CATALOGUE.get(name), weights, nodes) == remedy


def test_three_and_six_nodes_are_fine_where_everything_divides() -> None:
    shape = STORIES.shape.model_copy(
        update={"dim": 384, "heads": 12, "kv_heads": 12, "head_dim": 32, "vocab": 1026}
    )
    assert dllama_impossible(shape, "q4_0", 3) is None
    assert dllama_impossible(shape, "f32", 6) is None


@pytest.mark.parametrize(
    ("name", "weights", "counts"),
    [
        ("stories15m", "f32", (1, 2)),
        ("stories15m", "q4_0", (1,)),
        ("stories15m+kv16", "f32", (1, 2, 4, 8, 16)),
        ("stories15m+kv16", "q4_0", (1, 2, 4, 8)),
        ("synthetic:small", "q4_0", (1, 2, 4, 8)),
        (
            "synthetic:dim=384,hidden=768,layers=2,heads=12,vocab=1026,context=64",
            "f32",
            (1, 2, 3, 6),
        ),
    ],
)
def test_the_numbers_of_nodes_follow_from_the_shape(
    name: str, weights: Weights, counts: tuple[int, ...]
) -> None:
    assert node_counts(CATALOGUE.get(name).shape, weights) == counts
