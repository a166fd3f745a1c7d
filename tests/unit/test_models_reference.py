"""The plain reference: it reads a prompt as a whole or token by token, and tells a known story."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import HerdError
from models.catalogue import load_catalogue
from models.checkpoint import Checkpoint
from models.encoder import Encoder
from models.fetch import open_checkpoint
from models.reference import Reference, log_softmax
from models.shape import ModelShape
from models.synthetic import synthetic_checkpoint
from tests.doubles.tiny_llama import greedy, logits

SHARED_HEADS = ModelShape(
    dim=64, hidden_dim=96, layers=2, heads=4, kv_heads=2, head_dim=16, vocab=512, context=64
)
IDS = [1, 300, 42, 7, 99, 300, 301, 12]


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    shape = SHARED_HEADS.model_copy(update={"architecture": request.param})
    return synthetic_checkpoint(shape, seed=3)


@pytest.fixture(scope="module")
def stories() -> Checkpoint:
    try:
        return open_checkpoint(load_catalogue().get("stories15m"))
    except HerdError as error:
        pytest.skip(str(error))


def test_it_scores_a_text_as_a_model_without_a_cache_does(checkpoint: Checkpoint) -> None:
    expected = log_softmax(logits(checkpoint, IDS))
    wanted = [expected[row, token] for row, token in enumerate(IDS[1:])]
    assert Reference(checkpoint).score(IDS) == pytest.approx(wanted, abs=1e-5)


def test_it_continues_each_prompt_as_if_it_were_alone(checkpoint: Checkpoint) -> None:
    prompts = [IDS[:5], IDS[:1], IDS]
    found = Reference(checkpoint).generate(prompts, positions=12)
    for prompt, continuation in zip(prompts, found, strict=True):
        assert list(continuation.ids) == greedy(checkpoint, prompt, 12 - len(prompt) + 1)


def test_what_it_generates_it_also_scores(checkpoint: Checkpoint) -> None:
    reference = Reference(checkpoint)
    (found,) = reference.generate([IDS], positions=16)
    scores = reference.score([*IDS, *found.ids])[len(IDS) - 1 :]
    assert found.log_probabilities == pytest.approx(scores, abs=1e-5)


def test_the_margin_is_the_distance_to_the_second_likeliest(checkpoint: Checkpoint) -> None:
    (found,) = Reference(checkpoint).generate([IDS], positions=len(IDS))
    second, first = np.sort(logits(checkpoint, IDS)[-1])[-2:]
    assert found.margins == pytest.approx([first - second], abs=1e-4)


def test_a_prompt_that_fills_every_position_gets_one_token(checkpoint: Checkpoint) -> None:
    (found,) = Reference(checkpoint).generate([IDS], positions=len(IDS))
    assert len(found.ids) == 1


def test_four_bit_weights_say_almost_the_same_and_not_the_same(checkpoint: Checkpoint) -> None:
    exact = np.array(Reference(checkpoint).score(IDS))
    rounded = np.array(Reference(checkpoint, "q4_0").score(IDS))
    assert 1e-4 < np.abs(exact - rounded).max() < 1.0


@pytest.mark.network
def test_it_tells_the_story_that_the_weights_are_known_for(stories: Checkpoint) -> None:
    encoder = Encoder(stories.tokenizer)
    prompt = encoder.encode("Once upon a time")
    assert prompt == (1, 9038, 2501, 263, 931)
    (found,) = Reference(stories).generate([prompt], positions=26)
    assert "".join(map(encoder.piece, found.ids)) == (
        ", there was a little girl named Lily. She loved to play outside in the sunshine. One"
    )


@pytest.mark.network
def test_digits_stand_alone_and_line_breaks_are_bytes(stories: Checkpoint) -> None:
    encoder = Encoder(stories.tokenizer)
    assert encoder.encode("1 2 3") == (1, 29871, 29896, 29871, 29906, 29871, 29941)
    newline = encoder.encode("a\nb")[2]
    assert encoder.piece(newline) == "\n"
    assert encoder.is_text(newline)
    assert not encoder.is_text(stories.tokenizer.eos_ids[0])
