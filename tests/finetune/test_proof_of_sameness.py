"""Faults that are planted in what training leaves are found; an honest model has none."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from core.errors import HerdError
from experiments.engines import ON_NODES
from experiments.finetune.data.prepare import Example, Prepared
from experiments.finetune.proof.held_out import change_of, document_scores, held_out_change
from experiments.finetune.proof.memorised import lines_of, memorised_change
from experiments.finetune.proof.merged import LARGEST_ROUNDING, compare_merged
from experiments.finetune.proof.sameness import prove_sameness
from experiments.finetune.recipe import Recipe
from experiments.finetune.training.merge import merge
from experiments.finetune.training.modelling import FULL_WEIGHTS, load_model
from experiments.finetune.training.pytorch import Computer
from models.catalogue import ModelSpec
from models.convert import write_folder
from models.formats.huggingface.reader import WEIGHTS, read_huggingface
from models.reference import Reference
from models.shape import ModelShape
from models.synthetic import synthetic_checkpoint
from models.tuned import Sameness, Split

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

CPU = Computer("cpu", "", 1)
SHAPE = ModelShape(
    dim=64, hidden_dim=96, layers=2, heads=4, kv_heads=4, head_dim=16, vocab=400, context=96
)
QUERY = "model.layers.1.self_attn.q_proj.weight"
DOWN = "model.layers.0.mlp.down_proj.weight"
RECIPE = Recipe(name="tuned", model="base", data="x", steps=1)
SPLIT = Split(train_documents=1, held_out_documents=1, train_tokens=1, held_out_tokens=1)


def examples_of(seed: int, documents: int, windows: int = 1) -> tuple[Example, ...]:
    generator = np.random.default_rng(seed)
    ids = generator.integers(259, SHAPE.vocab, (documents * windows, 40)).tolist()
    return tuple(
        Example(f"tale {number % documents}", "", (1, *text), (False, *[True] * 40))
        for number, text in enumerate(ids)
    )


HELD_OUT = examples_of(1, 12, 2)


class Place:
    """A base, an adapter that changes something, and the merged model."""

    def __init__(self, folder: Path, seed: int = 1, loudness: float = 0.02) -> None:
        self.base, self.adapter = folder / "base", folder / "adapter"
        self.merged = folder / "merged"
        made = synthetic_checkpoint(SHAPE, seed)
        tokenizer = replace(made.tokenizer, chat_template="{{ messages[0]['content'] }}")
        write_folder(replace(made, tokenizer=tokenizer), self.base, "f32")
        torch.manual_seed(seed)
        config = peft.LoraConfig(
            task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]
        )
        wrapped = peft.get_peft_model(load_model(self.base, CPU), config)
        for name, tensor in wrapped.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(tensor, std=loudness)
        wrapped.save_pretrained(self.adapter)
        self.merge()

    def merge(self) -> None:
        merge(self.base, self.adapter, self.merged)

    def figures(self) -> tuple[float, float, tuple[str, ...]]:
        tokenizer = read_huggingface(self.base).tokenizer
        found = compare_merged(self.base, self.merged, self.adapter, HELD_OUT, tokenizer)
        return found.merge_change, found.base_change, found.faults

    def prove(self) -> Sameness:
        prepared = Prepared(HELD_OUT, HELD_OUT, SPLIT, "0" * 64)
        spec = ModelSpec(
            name="base", shape=SHAPE, licence="", source="", about="", format="huggingface",
            folder=self.base,
        )  # fmt: skip
        return prove_sameness(
            self.base, self.merged, self.adapter, prepared, RECIPE, spec, lambda _line: None
        )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("LLAMA_HERD_CACHE", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Place(tmp_path)
    torch.set_num_threads(threads)


def changed(path: Path, name: str, factor: float) -> None:
    tensors = load_file(path)
    tensors[name] = tensors[name] * np.float32(factor)
    save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize("seed", [1, 2])
def test_an_honest_adapter_and_its_merge_are_the_same(seed: int, tmp_path: Path) -> None:
    merge_change, base_change, faults = Place(tmp_path, seed).figures()
    assert faults == ()
    assert merge_change < LARGEST_ROUNDING / 4
    assert base_change > 0.1


def test_an_adapter_that_changes_nothing_is_named(tmp_path: Path) -> None:
    _, base_change, faults = Place(tmp_path, loudness=0.0).figures()
    assert base_change == 0.0
    (fault,) = faults
    assert fault.startswith("The adapter changes nothing: base + adapter computes the logits of ")


def test_a_merged_model_that_is_the_base_is_named(place: Place) -> None:
    shutil.copyfile(place.base / WEIGHTS, place.merged / WEIGHTS)
    _, _, (other, same) = place.figures()
    assert other.startswith("Merged is not base + adapter: logits differ by up to ")
    assert "The first tensor that differs is model.layers.0.self_attn.q_proj.weight." in other
    assert same.startswith("The merge changed nothing: merged computes the logits of the base ")


@pytest.mark.parametrize("name", [QUERY, DOWN])
def test_a_tensor_of_merged_that_is_another_is_named(place: Place, name: str) -> None:
    changed(place.merged / WEIGHTS, name, 1.01)
    merge_change, _, (fault,) = place.figures()
    assert merge_change > LARGEST_ROUNDING
    assert "; first after token " in fault
    assert " of a text of tale " in fault
    assert fault.endswith(f"The first tensor that differs is {name}.")


def test_a_merge_that_was_done_twice_or_left_a_tensor_out_is_named(
    place: Place, tmp_path: Path
) -> None:
    merge(place.merged, place.adapter, tmp_path / "twice")
    shutil.copyfile(tmp_path / "twice" / WEIGHTS, place.merged / WEIGHTS)
    assert place.figures()[2][0].endswith(" is model.layers.0.self_attn.q_proj.weight.")
    place.merge()
    tensors = load_file(place.merged / WEIGHTS)
    tensors[QUERY] = load_file(place.base / WEIGHTS)[QUERY]
    save_file(tensors, place.merged / WEIGHTS, {"format": "pt"})
    assert place.figures()[2][0].endswith(f" is {QUERY}.")


def test_an_adapter_of_no_weight_changes_nothing(place: Place) -> None:
    path = place.adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": 0}))
    place.merge()
    assert place.figures()[2][0].startswith("The adapter changes nothing: ")


def test_an_adapter_for_other_matrices_is_refused(place: Place) -> None:
    path = place.adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file({name.replace("q_proj", "w_proj"): one for name, one in tensors.items()}, path)
    with pytest.raises(HerdError, match=r"another base: model.layers.0.self_attn.w_proj.weight"):
        place.merge()


def test_whole_tensors_are_compared_where_no_adapter_is(place: Place) -> None:
    shutil.rmtree(place.adapter)
    place.adapter.mkdir()
    tensors = load_file(place.base / WEIGHTS)
    save_file({DOWN: tensors[DOWN] * np.float32(1.5)}, place.adapter / FULL_WEIGHTS)
    place.merge()
    merge_change, base_change, faults = place.figures()
    assert (merge_change, faults) == (0.0, ())
    assert base_change > 0.1
    changed(place.merged / WEIGHTS, DOWN, 1.01)
    assert place.figures()[2][0].endswith(f"The first tensor that differs is {DOWN}.")


def test_logits_that_are_no_numbers_are_refused(place: Place) -> None:
    changed(place.merged / WEIGHTS, DOWN, float("nan"))
    with pytest.raises(HerdError, match="logits that are not numbers: training diverged"):
        place.figures()


def test_all_forms_of_an_honest_model_are_the_same(place: Place) -> None:
    proof = place.prove()
    assert proof.faults == ()
    assert {(export.format, export.weights) for export in proof.exports} >= {
        ("gguf", "f32"), ("gguf", "f16"), ("gguf", "q8_0"), ("gguf", "q4_0"),
        ("dllama", "f32"), ("dllama", "q4_0"), ("huggingface", "f32"),
    }  # fmt: skip
    assert all(export.texts == 20 for export in proof.exports)
    assert all(export.same_texts == 20 for export in proof.exports if export.weights == "f32")


def test_what_merged_has_next_to_its_weights_is_the_bases(place: Place) -> None:
    settings, ends = place.merged / "tokenizer_config.json", place.merged / "generation_config.json"
    other = {"chat_template": "{{ messages[0]['text'] }}"}
    settings.write_text(json.dumps(json.loads(settings.read_text()) | other))
    ends.write_text(json.dumps({"bos_token_id": 1, "eos_token_id": [2, 300]}))
    config = place.merged / "config.json"
    config.write_text(config.read_text().replace('"rope_theta": 10000.0', '"rope_theta": 20000.0'))
    faults = place.prove().faults
    end, template, theta = [fault for fault in faults if fault.startswith("The merged model ")]
    assert end.startswith("The merged model ends a text with token 300 (")
    assert template.startswith("The merged model has in its chat template as token ")
    assert theta == "The merged model has rope_theta 20000, the base 10000."
    for engine in ON_NODES:
        named = [fault for fault in faults if fault.lower().startswith(f"{engine}'s file with ")]
        assert any("chat template as token " in fault for fault in named)
        assert any("ends a text with token " in fault for fault in named)
        assert any("has rope_theta 20000, the base 10000" in fault for fault in named)


def test_a_model_of_another_size_is_refused(place: Place, tmp_path: Path) -> None:
    shutil.rmtree(place.merged)
    other = SHAPE.model_copy(update={"layers": 1})
    write_folder(synthetic_checkpoint(other, 1), place.merged, "f32")
    with pytest.raises(HerdError, match=r"no model tuned from .*: it has layers 1, the base 2"):
        place.prove()


def test_bits_are_those_that_the_reference_computes(place: Place) -> None:
    checkpoint = read_huggingface(place.base)
    scores = document_scores(load_model(place.base, CPU).eval(), checkpoint.tokenizer, HELD_OUT)
    assert list(scores) == sorted({example.document for example in HELD_OUT})
    reference = Reference(checkpoint)
    own = [example for example in HELD_OUT if example.document == "tale 3"]
    nats = -sum(sum(reference.score(example.ids)) for example in own)
    assert scores["tale 3"].bits == pytest.approx(nats / np.log(2), rel=1e-5)
    text = b"".join(checkpoint.tokenizer.piece_bytes(i) for one in own for i in one.ids[1:])
    assert scores["tale 3"].bytes == len(text)


def test_only_what_is_trained_counts(place: Place) -> None:
    model, tokenizer = load_model(place.base, CPU).eval(), read_huggingface(place.base).tokenizer
    whole = HELD_OUT[0]
    answer = replace(whole, trained=tuple(position > 30 for position in range(41)))
    (all_of_it,) = document_scores(model, tokenizer, [whole]).values()
    (end,) = document_scores(model, tokenizer, [answer]).values()
    assert end.bytes < all_of_it.bytes / 2
    assert end.bits < all_of_it.bits / 2
    nothing = replace(whole, trained=(False,) * 41)
    assert document_scores(model, tokenizer, [nothing]) == {}
    with pytest.raises(HerdError, match="no text that counts"):
        change_of({}, {})


def test_a_change_of_held_out_documents_has_an_interval(place: Place) -> None:
    change = held_out_change(place.base, place.merged, HELD_OUT, CPU)
    assert change.count == 12
    assert change.low is not None
    assert change.high is not None
    assert change.low <= change.after - change.before <= change.high


def test_a_model_that_learned_its_lines_by_heart_is_seen(place: Place) -> None:
    examples = examples_of(5, 8)
    model = load_model(place.base, CPU)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    ids = torch.tensor([example.ids for example in examples])
    for _ in range(60):
        model(input_ids=ids, labels=ids).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    importlib.import_module("safetensors.torch").save_file(
        {name: tensor.detach().clone() for name, tensor in model.named_parameters()},
        place.merged / WEIGHTS,
        {"format": "pt"},
    )
    change = memorised_change(place.base, place.merged, examples, 1, CPU)
    assert change is not None
    assert (change.before, change.after, change.count) == (0.0, 1.0, 8)
    assert change.low is not None
    assert 0.3 < change.low < 0.4  # eight lines of eight: one made-up line of each kind is drawn
    assert change.high == 1.0


def test_lines_are_cut_where_the_text_has_line_feeds_and_follow_what_is_asked(place: Place) -> None:
    tokenizer = read_huggingface(place.base).tokenizer
    feed = tokenizer.pieces.index("<0x0A>")
    first, second = list(range(260, 280)), list(range(280, 300))
    ids = (1, 259, *first, feed, *second, 2)
    asked = Example("a", "", ids, (False, False, *[True] * (len(ids) - 2)))
    lines = lines_of([asked, asked], tokenizer)
    assert [line.ids for line in lines] == [(1, 259, *first), (1, 259, *second)]
    assert [line.ids[line.half :] for line in lines] == [tuple(first[10:]), tuple(second[10:])]
    short = Example("b", "", (1, *first[:7]), (False, *[True] * 7))
    assert lines_of([short], tokenizer) == []
    bare = Example("c", "", tuple(first), (False, *[True] * 19))
    assert lines_of([bare], tokenizer)[0].ids == tuple(first)
