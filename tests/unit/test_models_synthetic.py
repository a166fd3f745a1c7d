"""Random models: any shape by name, the same weights for the same seed, text that makes sense."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import HerdError
from models.catalogue import load_catalogue
from models.checkpoint import CLASSIFIER, tensor_shapes
from models.synthetic import synthetic_checkpoint, synthetic_tokenizer
from models.tokenizer import PieceType

NAME = "synthetic:dim=64,hidden=96,layers=2,heads=4,kv_heads=2,vocab=512,context=64,seed=7"


def test_a_shape_is_read_from_the_name() -> None:
    spec = load_catalogue().get(NAME)
    assert spec.seed == 7
    assert (spec.shape.dim, spec.shape.hidden_dim, spec.shape.layers) == (64, 96, 2)
    assert (spec.shape.heads, spec.shape.kv_heads, spec.shape.head_dim) == (4, 2, 16)
    assert (spec.shape.vocab, spec.shape.context) == (512, 64)


def test_the_same_shape_in_another_spelling_is_the_same_model() -> None:
    other = "synthetic:seed=7, vocab=512,dim=64,hidden=96,layers=2,heads=4,kv_heads=2,context=64"
    assert load_catalogue().get(other) == load_catalogue().get(NAME)


def test_two_shapes_never_share_a_folder() -> None:
    one = load_catalogue().get(NAME)
    two = load_catalogue().get(NAME.replace("seed=7", "seed=8"))
    assert one.slug != two.slug
    assert one.slug.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("dim=64,", ""), "lacks dim"),
        (("dim=64", "dim=x"), "`dim=x`; write a whole number"),
        (("dim=64", "depth=64"), "unknown key `depth`"),
        (("dim=64", "dim=64,dim=64"), "gives `dim` twice"),
        (("layers=2", "layers=9999"), "layers: Input should be less than or equal to 4096"),
        (("kv_heads=2", "kv_heads=3"), r"heads \(4\) must be a multiple of kv_heads \(3\)"),
        (("heads=4,kv", "heads=7,kv"), r"not a multiple of heads \(7\)"),
        (("heads=4,kv_heads=2", "heads=0"), "heads"),
        (("vocab=512", "vocab=100"), r"vocab \(100\) must be at least 354"),
        (("layers=2", "layers=0"), "layers: Input should be greater than 0"),
    ],
)
def test_a_shape_that_cannot_be_says_why(change: tuple[str, str], words: str) -> None:
    with pytest.raises(HerdError, match=words):
        load_catalogue().get(NAME.replace(*change))


def test_the_same_seed_gives_the_same_weights_in_any_order() -> None:
    shape = load_catalogue().get(NAME).shape
    names = list(tensor_shapes(shape))
    forward = {n: synthetic_checkpoint(shape, 7).tensor(n) for n in names}
    again = synthetic_checkpoint(shape, 7)
    for name in reversed(names):
        assert np.array_equal(again.tensor(name), forward[name])
    assert not np.array_equal(synthetic_checkpoint(shape, 8).tensor(names[0]), forward[names[0]])


def test_no_two_tensors_are_alike() -> None:
    checkpoint = synthetic_checkpoint(load_catalogue().get(NAME).shape, 7)
    assert not np.array_equal(checkpoint.tensor("layers.0.q"), checkpoint.tensor("layers.1.q"))
    assert not np.array_equal(checkpoint.tensor("layers.0.gate"), checkpoint.tensor("layers.0.up"))


def test_every_byte_and_printable_character_is_in_the_vocabulary_once() -> None:
    tokenizer = synthetic_tokenizer(4096)
    assert len(set(tokenizer.pieces)) == 4096
    assert {f"<0x{byte:02X}>" for byte in range(256)} < set(tokenizer.pieces)
    printable = {chr(code) for code in range(0x21, 0x7F)} | {"\u2581"}
    assert printable < set(tokenizer.pieces)


def test_every_longer_piece_is_made_of_two_pieces_so_that_merging_reaches_it() -> None:
    tokenizer = synthetic_tokenizer(12_000)
    known = set(tokenizer.pieces)
    for piece, kind in zip(tokenizer.pieces, tokenizer.types, strict=True):
        if kind is PieceType.NORMAL and len(piece) > 1:
            cuts = range(1, len(piece))
            assert any(piece[:cut] in known and piece[cut:] in known for cut in cuts), piece


def test_bytes_and_control_pieces_are_never_the_greedy_choice() -> None:
    checkpoint = synthetic_checkpoint(load_catalogue().get(NAME).shape, 7)
    activations = np.random.default_rng(1).standard_normal((100, 64), dtype=np.float32)
    assert (activations @ checkpoint.tensor(CLASSIFIER).T).argmax(axis=1).min() >= 259
