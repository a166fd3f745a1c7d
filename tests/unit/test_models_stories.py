"""The real weights: they tell a story, and still the same one in distributed-llama's form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from core.errors import HerdError
from models.build import ensure_artifact, open_checkpoint
from models.catalogue import load_catalogue
from models.formats.dllama.model import read_model
from tests.doubles.tiny_llama import greedy, logits

if TYPE_CHECKING:
    from models.checkpoint import Checkpoint

ONCE_UPON_A_TIME = [1, 9038, 2501, 263, 931]
STORY = ", there was a little girl named Lily. She loved to play outside in the sunshine."

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def stories() -> Checkpoint:
    try:
        return open_checkpoint(load_catalogue().get("stories15m"))
    except HerdError as error:
        pytest.skip(str(error))


def test_the_prompt_of_these_tests_is_once_upon_a_time(stories: Checkpoint) -> None:
    pieces = [stories.tokenizer.pieces[i] for i in ONCE_UPON_A_TIME]
    assert pieces == ["<s>", "▁Once", "▁upon", "▁a", "▁time"]


def test_the_weights_tell_a_story(stories: Checkpoint) -> None:
    ids = greedy(stories, ONCE_UPON_A_TIME, 21)
    text = "".join(stories.tokenizer.pieces[i] for i in ids).replace("▁", " ")
    assert text == STORY


def test_the_form_for_distributed_llama_gives_the_same_logits(stories: Checkpoint) -> None:
    artifact = ensure_artifact(load_catalogue().get("stories15m+kv16"), "dllama", "f32")
    read = read_model(artifact.file("model").path, stories.tokenizer)
    assert (read.shape.heads, stories.shape.heads) == (16, 6)
    difference = logits(read, ONCE_UPON_A_TIME) - logits(stories, ONCE_UPON_A_TIME)
    assert np.abs(difference).max() < 1e-4


def test_four_bit_weights_still_know_the_story_s_next_word(stories: Checkpoint) -> None:
    artifact = ensure_artifact(load_catalogue().get("stories15m+kv16"), "dllama", "q4_0")
    read = read_model(artifact.file("model").path, stories.tokenizer)
    assert greedy(read, ONCE_UPON_A_TIME, 8) == greedy(stories, ONCE_UPON_A_TIME, 8)
