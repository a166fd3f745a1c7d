"""A fine-tuned model is a model of the catalogue; one that cannot be used is named, and alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import HerdError
from models.__main__ import main
from models.build import Artifact, ensure_artifact, is_cached
from models.catalogue import load_catalogue
from models.fetch import is_fetched, open_checkpoint
from models.formats.huggingface.reader import WEIGHTS
from models.tuned import MERGED_FOLDER, TUNED_FILE, Sameness
from tests.tuned_models import BASE, tuned_here, tuned_model, write_record


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for fine-tuned models with one of them, `tales`."""
    monkeypatch.setenv("LLAMA_HERD_CACHE", str(tmp_path / "cache"))
    tuned_model(tmp_path / "tuned")
    with tuned_here(tmp_path / "tuned") as here:
        yield here


def refusal(name: str = "tales") -> str:
    with pytest.raises(HerdError) as caught:
        load_catalogue().get(name)
    return str(caught.value)


def changed(folder: Path, **values: object) -> None:
    record = load_catalogue().get("tales").tuned
    assert record is not None
    write_record(folder, "tales", record.model_copy(update=values))


def test_it_is_found_by_name_with_what_its_base_says(folder: Path) -> None:
    spec, base = load_catalogue().get("tales"), load_catalogue().get(BASE)
    assert (spec.shape, spec.chat, spec.adds_bos) == (base.shape, base.chat, base.adds_bos)
    assert spec.folder == folder / "tales" / MERGED_FOLDER
    assert spec.tuned is not None
    assert spec.tuned.parentage.base == BASE
    assert load_catalogue().names()[-1] == "tales"


def test_every_engines_file_has_its_weights_and_not_the_bases(folder: Path) -> None:
    spec, base = load_catalogue().get("tales"), load_catalogue().get(BASE)
    for form, weights in (("gguf", "f32"), ("dllama", "q4_0"), ("huggingface", "f32")):
        own, of_base = (ensure_artifact(one, form, weights) for one in (spec, base))  # type: ignore[arg-type]
        assert own.file("model").sha256 != of_base.file("model").sha256
        assert is_cached(spec, form, weights)  # type: ignore[arg-type]


def test_heads_may_be_added_to_it_as_to_any(folder: Path) -> None:
    spec = load_catalogue().get("tales+kv16")
    assert spec.shape.kv_heads == 16
    assert spec.tuned is not None
    assert open_checkpoint(spec).shape == spec.shape


def test_trained_anew_it_is_built_anew(folder: Path) -> None:
    def built() -> Artifact:
        return ensure_artifact(load_catalogue().get("tales"), "gguf", "q8_0")

    before = built()
    assert built() == before
    tuned_model(folder, seed=2)
    assert not is_cached(load_catalogue().get("tales"), "gguf", "q8_0")
    assert built().file("model").sha256 != before.file("model").sha256


def test_its_base_may_be_a_fine_tuned_model(folder: Path) -> None:
    tuned_model(folder, "more-tales", base="tales")
    spec = load_catalogue().get("more-tales")
    assert spec.tuned is not None
    assert spec.tuned.parentage.base == "tales"


def no_record(folder: Path) -> None:
    (folder / "tales" / TUNED_FILE).unlink()


def no_json(folder: Path) -> None:
    (folder / "tales" / TUNED_FILE).write_text("{")


def linked_record(folder: Path) -> None:
    moved = (folder / "tales" / TUNED_FILE).rename(folder.parent / "elsewhere.json")
    (folder / "tales" / TUNED_FILE).symlink_to(moved)


def linked_folder(folder: Path) -> None:
    moved = (folder / "tales").rename(folder.parent / "elsewhere")
    (folder / "tales").symlink_to(moved)


def a_file(folder: Path) -> None:
    shutil.rmtree(folder / "tales")
    (folder / "tales").write_text("")


def another_name(folder: Path) -> None:
    changed(folder, name="stories")


def too_large(folder: Path) -> None:
    with (folder / "tales" / TUNED_FILE).open("r+b") as file:
        file.truncate((1 << 26) + 1)


def other_shape(folder: Path) -> None:
    shape = load_catalogue().get("tales").shape
    changed(folder, shape=shape.model_copy(update={"context": 2 * shape.context}))


def parents(folder: Path, **values: object) -> None:
    record = load_catalogue().get("tales").tuned
    assert record is not None
    changed(folder, parentage=record.parentage.model_copy(update=values))


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "not finished": (no_record, "its training has not come to its end"),
    "no JSON": (no_json, "damaged or from another version"),
    "a linked record": (linked_record, "it is a link"),
    "a linked folder": (linked_folder, "tales is a link"),
    "a file": (a_file, "tales is not a folder"),
    "another's": (another_name, "the record of stories, a model of another name"),
    "too large": (too_large, "at most 67108864 are read"),
    "another shape": (other_shape, f"its shape is not that of {BASE}"),
    "no weights": (lambda folder: changed(folder, files={}), f"names no merged/{WEIGHTS}"),
    "unknown base": (lambda folder: parents(folder, base="nobody"), "made of nobody. The catalog"),
    "its own base": (lambda folder: parents(folder, base="tales"), "made of itself"),
    "prompts": (
        lambda folder: parents(folder, method="petals-ptune"),
        f"ask for the model {BASE} with `adapter: tales`",
    ),
    "not proven": (lambda folder: changed(folder, sameness=None), "were not compared"),
    "not the same": (
        lambda folder: changed(
            folder, sameness=Sameness(merge_change=1.0, base_change=0.0, faults=("It is lost.",))
        ),
        "its forms are not the same: It is lost.",
    ),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_one_that_cannot_be_used_is_named_and_disturbs_no_other(folder: Path, what: str) -> None:
    tuned_model(folder, "other")
    damage, words = DAMAGES[what]
    damage(folder)
    assert words in refusal()
    assert words in refusal("tales+kv16")
    assert "tales" not in load_catalogue().names()
    assert load_catalogue().get("other").tuned is not None
    assert load_catalogue().get(BASE).name == BASE
    refused = load_catalogue().refused()
    if what not in ("not finished", "a file"):  # of which nothing is listed
        assert words in refused.pop("tales")
    assert not refused


def damaged_weights(merged: Path) -> None:
    with (merged / WEIGHTS).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")


def linked_weights(merged: Path) -> None:
    moved = (merged / WEIGHTS).rename(merged.parent / "moved")
    (merged / WEIGHTS).symlink_to(moved)


FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "changed": (damaged_weights, "model.safetensors is not the file that was recorded"),
    "missing": (lambda merged: (merged / "config.json").unlink(), "No such file"),
    "all missing": (shutil.rmtree, "No such file"),
    "linked": (linked_weights, "it is a link"),
    "one more": (lambda merged: (merged / "added_tokens.json").touch(), "is not in its record"),
}


@pytest.mark.parametrize("what", FILES)
def test_weights_that_are_not_the_recorded_ones_are_named_and_not_built(
    folder: Path, what: str
) -> None:
    damage, words = FILES[what]
    damage(folder / "tales" / MERGED_FOLDER)
    spec = load_catalogue().get("tales")
    with pytest.raises(HerdError, match=words):
        ensure_artifact(spec, "gguf", "f32")
    assert is_fetched(spec) == ("missing" not in what)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("stories15m", "the catalogue has the model stories15m already"),
        ("synthetic-tiny", "the catalogue has the model synthetic:tiny already"),
        ("synthetic-dim64", "the files of synthetic models are called so"),
        ("stories15m-kv16", "the files of models with added heads end so"),
    ],
)
def test_a_name_that_is_taken_is_refused(folder: Path, name: str, why: str) -> None:
    with pytest.raises(HerdError, match=why):
        load_catalogue().require_free_name(name)
    tuned_model(folder, name)
    assert why in load_catalogue().refused()[name]
    assert set(load_catalogue().refused()) == {name}
    if name == "stories15m":
        assert load_catalogue().get(name).tuned is None
    else:
        assert why in refusal(name)


def test_free_names_are_taken(folder: Path) -> None:
    for name in ("tales", "my-kv-model", "stories15m-f32", "synthetic"):
        load_catalogue().require_free_name(name)


def test_without_fine_tuned_models_the_catalogue_is_as_it_was(tmp_path: Path) -> None:
    with tuned_here(tmp_path / "nowhere"):
        assert not load_catalogue().refused()
        assert all(load_catalogue().get(name).tuned is None for name in load_catalogue().names())


def test_the_list_of_models_has_its_parents_and_names_those_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    tuned_model(folder, "stories15m")
    assert main(["list"]) == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in ("lora, 20 steps", BASE, "d" * 12, "e" * 12, "1.500 before, 1.200"):
        assert words in told
    assert "Not listed: stories15m. A fine-tuned model cannot be called stories15m" in told
