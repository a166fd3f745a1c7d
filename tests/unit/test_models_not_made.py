"""A matrix may name a fine-tuned model that is not made yet: the message says how to make it."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import HerdError
from core.paths import PROJECT_FOLDER
from experiments.planning import axes
from experiments.planning.matrix import load_matrix
from experiments.planning.recipes import not_made_yet

BEFORE_AFTER = PROJECT_FOLDER / "experiments" / "matrices" / "before_after.yml"
PROMPTS = BEFORE_AFTER.with_name("prompts.yml")


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "stories.yml").write_text("name: 'stories15m-tales'  # ours\nmodel: stories15m\n")
    (folder / "prompts.yml").write_text("name: stories15m-prompts\nmethod: petals-ptune\n")
    return folder


@pytest.mark.parametrize("name", ["stories15m-tales", "stories15m-tales+kv8"])
def test_a_model_that_a_recipe_makes(recipes: Path, tmp_path: Path, name: str) -> None:
    told = not_made_yet(name, recipes, tmp_path / "tuned")
    assert told is not None
    assert told.startswith("stories15m-tales is not made yet. First run `fab finetune ")
    assert told.endswith("/recipes/stories.yml`.")


@pytest.mark.parametrize("name", ["stories15m", "stories15m-tale", "stories15m_tales", "."])
def test_no_recipe_makes_it(recipes: Path, tmp_path: Path, name: str) -> None:
    assert not_made_yet(name, recipes, tmp_path / "tuned") is None


def test_of_a_model_whose_training_began_its_folder_says_more(
    recipes: Path, tmp_path: Path
) -> None:
    (tmp_path / "tuned" / "stories15m-tales").mkdir(parents=True)
    assert not_made_yet("stories15m-tales", recipes, tmp_path / "tuned") is None


def test_a_recipe_that_cannot_be_read_makes_nothing(recipes: Path, tmp_path: Path) -> None:
    (recipes / "a-folder.yml").mkdir()
    (recipes / "bytes.yml").write_bytes(b"\xff\xfe\nname: bytes\n")
    assert not_made_yet("bytes", recipes, tmp_path / "tuned") is not None
    assert not_made_yet("other", recipes, tmp_path / "tuned") is None


def test_the_shipped_matrix_says_what_to_run_first(
    recipes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        axes, "not_made_yet", lambda name: not_made_yet(name, recipes, tmp_path / "tuned")
    )
    monkeypatch.setattr(axes, "model_spec", _catalogue_without_tuned)
    with pytest.raises(HerdError, match=r"before_after\.yml, line \d+: .*First run `fab finetune"):
        load_matrix(BEFORE_AFTER)
    told = r"prompts\.yml, line \d+: .*adapter.*First run `fab finetune \S+prompts\.yml`"
    with pytest.raises(HerdError, match=told):
        load_matrix(PROMPTS)


def test_the_shipped_matrix_is_valid_once_its_model_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(axes, "model_spec", lambda name: name)
    matrix = load_matrix(once_made(BEFORE_AFTER, "stories15m-tales", tmp_path))
    assert list(matrix.parts) == ["tales", "general", "questions", "speed"]
    assert matrix.parts["tales"].repeats == 1
    assert matrix.parts["general"].repeats == 12
    assert matrix.axes["model"] == ("stories15m", "stories15m-tales")


def test_the_matrix_of_prompts_is_valid_once_they_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(axes._OF_WORDS, "adapter", lambda name: None)
    matrix = load_matrix(once_made(PROMPTS, "stories15m-prompts", tmp_path))
    assert list(matrix.parts) == ["tales", "general", "questions", "speed"]
    assert matrix.axes["adapter"] == ("none", "stories15m-prompts")


def once_made(shipped: Path, name: str, folder: Path) -> Path:
    """A copy of a matrix that has documents in place of the ones that a training held out."""
    held_out = folder / "held_out.jsonl"
    held_out.write_text('{"document": "fox", "text": "The fox went home and ate his dinner."}\n')
    copy = folder / shipped.name
    text = shipped.read_text()
    copy.write_text(text.replace(f"models/tuned/{name}/data/held_out.jsonl", str(held_out)))
    return copy


def _catalogue_without_tuned(name: str) -> str:
    if name != "stories15m":
        raise HerdError(f"The catalogue has no model `{name}`.")
    return name
