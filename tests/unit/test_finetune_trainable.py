"""What cannot be fine-tuned is refused with the recipe's line, before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import HerdError
from experiments.finetune.recipe import load_recipe
from experiments.finetune.trainable import require_trainable
from tests.tuned_models import tuned_here, tuned_model


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ("name: stories15m\nmodel: stories15m", "line 1: `name` is that of the base. Choose"),
        ("name: x\nmodel: storys15m", "line 2: `model` is storys15m. The catalogue has no model"),
        (
            "name: x\nmodel: stories15m+kv12",
            (
                "line 2: `model` has added heads, which are not trained. Write stories15m; in a "
                "matrix the tuned model can have them, too, as x+kvN."
            ),
        ),
        (
            "name: x\nmodel: deepseek-r1-distill-llama-8b",
            "line 2: `model` is deepseek-r1-distill-llama-8b, which is published with 4-bit",
        ),
        (
            "name: x\nmodel: stories15m\nsequence: 257",
            "line 3: `sequence` is 257, but stories15m reads at most 256 tokens. Write at most 256",
        ),
        (
            "name: x\nmodel: stories15m\nsequence: 256\nmethod: petals-ptune\nprompts: 10",
            (
                "line 3: `sequence` is 256 with 10 trained positions before it, but stories15m "
                "reads at most 256 tokens. Write at most 246"
            ),
        ),
    ],
)
def test_a_base_that_cannot_be_trained_is_refused(tmp_path: Path, lines: str, wrong: str) -> None:
    with pytest.raises(HerdError) as caught:
        require_trainable(load_recipe(_recipe(tmp_path, lines)))
    assert f"{tmp_path / 'r.yml'}, {wrong}" in str(caught.value)


def test_a_base_of_the_catalogue_can_be_trained(tmp_path: Path) -> None:
    lines = "name: x\nmodel: stories15m\nsequence: 256"
    assert require_trainable(load_recipe(_recipe(tmp_path, lines))).name == "stories15m"


def test_a_tuned_model_is_not_tuned_again(tmp_path: Path) -> None:
    tuned_model(tmp_path, "tales")
    with tuned_here(tmp_path), pytest.raises(HerdError) as caught:
        require_trainable(load_recipe(_recipe(tmp_path, "name: x\nmodel: tales")))
    assert "line 2: `model` is itself a fine-tuned model. Write its base, synthetic:" in str(
        caught.value
    )


def _recipe(folder: Path, lines: str) -> Path:
    path = folder / "r.yml"
    path.write_text(f"{lines}\ndata: d.txt\nsteps: 3\n")
    return path
