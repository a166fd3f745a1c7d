"""The shipped recipe, shortened: the real stories15m reads real tales, and gets better at them."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from core.paths import PROJECT_FOLDER
from experiments.finetune.data.reading import read_data
from experiments.finetune.recipe import load_recipe
from experiments.finetune.run import finetune
from experiments.finetune.training.adapter import hashes_of
from models.build import ensure_artifact
from models.catalogue import load_catalogue
from models.tuned import CurvePoint

pytestmark = [pytest.mark.network, pytest.mark.slow]

SHORT = 4000
"""Characters of the tales that are read; a third of them are held out."""
STEPS = 40
ENDS = 5
"""Steps at the beginning, and at the end, whose mean loss is taken."""


class Losses:
    """Keeps the loss of each step."""

    def __init__(self) -> None:
        self.steps: list[float] = []

    def begin(self, step: int, steps: int) -> None:
        """Begin with the first step."""
        assert (step, steps) == (0, STEPS)

    def step(self, step: int, loss: float, tokens_per_s: float) -> None:
        """Keep it."""
        assert tokens_per_s > 0
        self.steps.append(loss)

    def evaluated(self, point: CurvePoint) -> None:
        """Nothing: it is in the record."""

    def note(self, text: str) -> None:
        """Nothing has to be said."""
        raise AssertionError(text)

    def end(self) -> None:
        """Nothing is to be taken off."""


def test_it_predicts_tales_better_than_its_base_in_every_form(tmp_path: Path) -> None:
    recipe = load_recipe(PROJECT_FOLDER / "experiments" / "finetunes" / "stories.yml")
    tales = [one.text for one in read_data(recipe, print).documents if len(one.text) <= SHORT]
    data = tmp_path / "tales.txt"
    data.write_text("\n\n\n".join(tales))
    shorter = {"data": str(data), "held_out": 0.34, "steps": STEPS, "epochs": None, "batch": 4}
    recipe = recipe.model_copy(update=shorter | {"learning_rate": 2e-3, "evaluate_every": STEPS})
    weights = ensure_artifact(load_catalogue().get(recipe.model), "huggingface", "f32")
    base = weights.file("model").path.parent
    before, losses = hashes_of(base), Losses()
    record = finetune(recipe, say=print, progress=losses, tuned=tmp_path / "tuned")
    first, last = statistics.mean(losses.steps[:ENDS]), statistics.mean(losses.steps[-ENDS:])
    assert last <= 0.8 * first
    change = record.held_out_bits_per_byte
    assert change.count >= 6
    assert change.high is not None
    assert change.high < 0
    proof = record.sameness
    assert proof is not None
    assert proof.faults == ()
    assert proof.merge_change <= 1e-4 < proof.base_change
    assert len(proof.exports) == 7
    assert hashes_of(base) == before
    assert record.parentage.base_sha256 == before["model.safetensors"]
