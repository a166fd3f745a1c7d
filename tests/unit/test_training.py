"""What of a training needs no PyTorch: order, learning rate, merging, estimates, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from core.digest import sha256_of
from core.errors import HerdError
from experiments.finetune.data.examples import Example
from experiments.finetune.recipe import Recipe
from experiments.finetune.started import (
    Started,
    put_aside,
    recipe_sha256,
    require_same_origin,
    require_unchanged,
)
from experiments.finetune.training.batches import Order, padded_batch, total_steps
from experiments.finetune.training.estimate import memory_need, require_room, trained_values
from experiments.finetune.training.merge import merge
from experiments.finetune.training.pytorch import Computer
from experiments.finetune.training.trainer import learning_rate
from models.convert import write_folder
from models.shape import ModelShape
from models.synthetic import synthetic_checkpoint

SHAPE = ModelShape(
    dim=32, hidden_dim=64, layers=2, heads=4, kv_heads=2, head_dim=8, vocab=400, context=64
)
CPU = Computer("cpu", "a CPU", 1)
QUERY = "model.layers.1.self_attn.q_proj.weight"
ADAPTED = "base_model.model.model.layers.1.self_attn.q_proj"


def recipe_of(**changed: object) -> Recipe:
    told = {"name": "tales", "model": "stories15m", "data": "tales.txt", "steps": 40}
    return Recipe.model_validate({**told, "file": "tales.yml", **changed})


def example(length: int) -> Example:
    return Example("one", "", tuple(range(3, 3 + length)), (True,) * length)


def test_each_pass_reads_every_example_once_in_another_order() -> None:
    order = Order([5, 9, 2, 7, 7, 1, 3], batch=3, seed=1)
    passes = [[order.batch(step) for step in range(first, first + 3)] for first in (0, 3)]
    assert all(sorted(sum(one, ())) == list(range(7)) for one in passes)
    assert passes[0] != passes[1]
    again = Order([5, 9, 2, 7, 7, 1, 3], batch=3, seed=1)
    assert [again.batch(step) for step in (5, 1, 0)] == [order.batch(step) for step in (5, 1, 0)]


def test_other_seeds_give_other_orders() -> None:
    first, second = (Order(range(40), batch=4, seed=seed) for seed in (1, 2))
    assert [first.batch(k) for k in range(10)] != [second.batch(k) for k in range(10)]


def test_padding_is_no_target_and_neither_is_the_first_token() -> None:
    ids, counted = padded_batch([example(2), example(4)])
    assert ids == [[3, 4, 0, 0], [3, 4, 5, 6]]
    assert counted == [[False, True, False, False], [False, True, True, True]]


def test_epochs_become_steps() -> None:
    assert total_steps(recipe_of(steps=None, epochs=2, batch=8), 20) == 6
    assert total_steps(recipe_of(steps=None, epochs=0.01, batch=8), 20) == 1
    assert total_steps(recipe_of(), 20) == 40


def test_the_learning_rate_rises_over_a_tenth_and_then_falls() -> None:
    recipe = recipe_of(learning_rate=0.1)
    rates = [learning_rate(recipe, step, 40) for step in range(40)]
    assert rates[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert max(rates) == rates[3] == rates[4]
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 < rates[-1] < 0.001


def started(recipe: Recipe, data: str = "1") -> Started:
    return Started(
        recipe=recipe,
        data_sha256=data * 64,
        base_sha256="2" * 64,
        threads=1,
        computer="a CPU",
        libraries={},
    )


def test_a_changed_recipe_is_refused_field_by_field() -> None:
    begun = started(recipe_of())
    require_unchanged(recipe_of(), begun)
    changed = recipe_of(rank=4, learning_rate=0.5)
    with pytest.raises(HerdError) as error:
        require_unchanged(changed, begun)
    for words in (
        "`rank` was `8` and is `4`",
        "`learning_rate` was `0.0002` and is `0.5`",
        "--new",
    ):
        assert words in str(error.value)
    assert "`steps`" not in str(error.value)


def test_changed_data_is_refused() -> None:
    with pytest.raises(HerdError, match="The data changed since tales was begun"):
        require_same_origin(recipe_of(), started(recipe_of()), started(recipe_of(), data="3"))


def test_a_hash_says_whose_checkpoint_it_is() -> None:
    assert started(recipe_of()).training != started(recipe_of(), data="3").training
    assert recipe_sha256(recipe_of()) == recipe_sha256(recipe_of(file="elsewhere.yml"))
    assert recipe_sha256(recipe_of()) != recipe_sha256(recipe_of(seed=2))


def test_what_was_trained_before_is_moved_and_not_deleted(tmp_path: Path) -> None:
    said: list[str] = []
    for content in ("first", "second"):
        (tmp_path / "tales").mkdir()
        (tmp_path / "tales" / "tuned.json").write_text(content)
        put_aside(tmp_path / "tales", said.append)
    assert not (tmp_path / "tales").exists()
    kept = sorted(path.read_text() for path in (tmp_path / ".aside").glob("*/tuned.json"))
    assert kept == ["first", "second"]
    assert all(str(tmp_path / ".aside") in line for line in said)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_folder(synthetic_checkpoint(SHAPE, 1), tmp_path / "base", "f32")
    return tmp_path / "base"


def write_lora(folder: Path, rows: int = 32) -> tuple[np.ndarray, np.ndarray]:
    folder.mkdir()
    generator = np.random.default_rng(1)
    up = generator.normal(size=(rows, 4)).astype("f4")
    down = generator.normal(size=(4, 32)).astype("f4")
    (folder / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8, "r": 4}))
    named = {f"{ADAPTED}.lora_A.weight": down, f"{ADAPTED}.lora_B.weight": up}
    save_file(named, folder / "adapter_model.safetensors")
    return up, down


def test_merging_adds_the_adapter_and_leaves_all_else(base: Path, tmp_path: Path) -> None:
    up, down = write_lora(tmp_path / "adapter")
    before = {path.name: sha256_of(path) for path in base.iterdir()}
    merge(base, tmp_path / "adapter", tmp_path / "merged")
    assert {path.name: sha256_of(path) for path in base.iterdir()} == before
    old, new = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "merged"))
    assert np.allclose(new.pop(QUERY), old.pop(QUERY) + 2 * (up @ down), atol=1e-6)
    assert all(np.array_equal(new[name], old[name]) for name in old)
    merged = {path.name: sha256_of(path) for path in (tmp_path / "merged").iterdir()}
    assert {k: v for k, v in merged.items() if k != "model.safetensors"} == {
        k: v for k, v in before.items() if k != "model.safetensors"
    }


@pytest.mark.parametrize("rows", [1, 16])
def test_an_adapter_of_another_base_is_refused(base: Path, tmp_path: Path, rows: int) -> None:
    write_lora(tmp_path / "adapter", rows)
    with pytest.raises(HerdError, match="trained on another base"):
        merge(base, tmp_path / "adapter", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    assert not list(tmp_path.glob(".tmp-*"))


def test_trained_values_of_lora_are_counted() -> None:
    recipe = recipe_of(rank=2, targets=["q", "down"])
    assert trained_values(recipe, SHAPE) == 2 * 2 * ((32 + 32) + (64 + 32))


def test_a_training_that_does_not_fit_says_what_to_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = recipe_of(batch=64)
    need = memory_need(recipe, SHAPE, [example(60)] * 64)
    per_example = (need.activations + need.logits) / 64
    monkeypatch.setattr("experiments.finetune.training.estimate._of_group", lambda: 1 << 62)
    room = need.total - int(per_example * 40)
    monkeypatch.setattr("experiments.finetune.training.estimate._of_machine", lambda: room)
    with pytest.raises(HerdError, match=r"smaller `batch` \(at most 2[34] of now 64\)"):
        require_room(need, CPU, recipe)
    monkeypatch.setattr(
        "experiments.finetune.training.estimate._of_machine", lambda: need.libraries
    )
    with pytest.raises(HerdError, match="Choose a smaller model"):
        require_room(need, CPU, recipe)
    with pytest.raises(HerdError, match="`method: lora`"):
        require_room(need, CPU, recipe_of(method="full", batch=64))
    monkeypatch.setattr("experiments.finetune.training.estimate._of_machine", lambda: need.total)
    require_room(need, CPU, recipe)
