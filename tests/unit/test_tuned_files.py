"""A tuned model's file that differs from the merged model is found; what differs is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import HerdError
from experiments.engines import ON_NODES
from experiments.finetune.proof import exports
from experiments.finetune.proof.exports import Form, forms_of
from experiments.finetune.proof.files import USUAL_COST, FileProver, FloatModel
from experiments.finetune.proof.same_texts import ProofTexts, say_in_float32
from models.build import Artifact, ensure_artifact
from models.catalogue import ModelSpec
from models.checkpoint import Checkpoint, tensor_shapes
from models.convert import write_folder
from models.formats.gguf.reader import read_gguf
from models.formats.gguf.writer import write_gguf
from models.formats.huggingface.reader import read_huggingface
from models.reference import Reference
from models.shape import ModelShape
from models.synthetic import synthetic_checkpoint

SHAPE = ModelShape(
    dim=64, hidden_dim=96, layers=2, heads=4, kv_heads=4, head_dim=16, vocab=400, context=64
)
TEMPLATE = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{{ eos_token }}{% endfor %}"
TRAINED = ("layers.0.q", "layers.1.v", "layers.1.o")
F32, F16 = (Form("llama.cpp", "gguf", weights) for weights in ("f32", "f16"))
Q8, Q4 = (Form("llama.cpp", "gguf", weights) for weights in ("q8_0", "q4_0"))
M_Q4 = Form("distributed-llama", "dllama", "q4_0")
FOLDER = Form("petals", "huggingface", "f32")


def checkpoint_of(seed: int, trained: int | None) -> Checkpoint:
    """A model of random weights; `trained` is the seed of what is added to a few of its tensors."""
    made = synthetic_checkpoint(SHAPE, seed)

    def load(name: str) -> np.ndarray:
        values = made.load(name)
        if trained is None or name not in TRAINED:
            return values
        generator = np.random.default_rng([trained, TRAINED.index(name)])
        low_rank = generator.normal(size=(len(values), 2)) @ generator.normal(size=(2, 64))
        return (values + 0.02 * low_rank).astype(np.float32)

    tokenizer = replace(made.tokenizer, chat_template=TEMPLATE)
    return replace(made, load=load, tokenizer=tokenizer)


def model_of(
    place: Path, name: str, seed: int, trained: int | None, asked: ProofTexts
) -> FloatModel:
    write_folder(checkpoint_of(seed, trained), place / name, "f32")
    spec = ModelSpec(
        name=name, shape=SHAPE, licence="", source="", about="", format="huggingface",
        folder=place / name,
    )  # fmt: skip
    checkpoint = read_huggingface(place / name)
    return FloatModel(spec, checkpoint, say_in_float32(checkpoint, asked))


def asked_from(seed: int) -> ProofTexts:
    generator = np.random.default_rng(seed)
    ids = [tuple(map(int, generator.integers(259, SHAPE.vocab, 30))) for _ in range(10)]
    return ProofTexts(tuple(text[:6] for text in ids[:6]), tuple(ids[6:]))


@pytest.fixture(scope="module")
def prover(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileProver]:
    place = tmp_path_factory.mktemp("tuned")
    asked = asked_from(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLAMA_HERD_CACHE", str(place / "cache"))
        yield FileProver(
            base=model_of(place, "base", 1, None, asked),
            tuned=model_of(place, "tuned", 1, 7, asked),
            asked=asked,
            split=str.split,
            say=lambda _line: None,
        )


Damage = Callable[[Artifact], None]


@pytest.fixture
def damaged(monkeypatch: pytest.MonkeyPatch) -> Callable[[Damage], None]:
    """Lets something happen to the tuned model's file between writing and reading."""

    def arrange(damage: Damage) -> None:
        def build(spec: ModelSpec, *how: object) -> Artifact:
            artifact = ensure_artifact(spec, *how)  # type: ignore[arg-type]
            if spec.name == "tuned":
                damage(artifact)
            return artifact

        monkeypatch.setattr(exports, "ensure_artifact", build)

    return arrange


def rewritten(change: Callable[[Checkpoint], Checkpoint], weights: str) -> Damage:
    """Writes the GGUF file again, with something changed."""

    def damage(artifact: Artifact) -> None:
        path = artifact.file("model").path
        read = read_gguf(path)
        kept = {name: read.tensor(name).copy() for name in tensors_of()}
        changed = change(replace(read, load=lambda name: kept[name], stored=lambda _n, _w: None))
        path.unlink()
        write_gguf(changed, path, weights, "tuned")  # type: ignore[arg-type]

    return damage


def tensors_of() -> list[str]:
    return list(tensor_shapes(SHAPE))


def with_tokenizer(**changes: object) -> Callable[[Checkpoint], Checkpoint]:
    return lambda read: replace(read, tokenizer=replace(read.tokenizer, **changes))  # type: ignore[arg-type]


def test_each_engine_has_its_files(prover: FileProver) -> None:
    forms = forms_of(prover.tuned.spec)
    assert {form.engine for form in forms} == set(ON_NODES)
    assert {F32, F16, Q8, Q4, M_Q4, FOLDER} <= set(forms)


def test_an_honest_model_has_no_faults(prover: FileProver) -> None:
    for form in forms_of(prover.tuned.spec):
        export, wrong = prover.export(form)
        assert wrong == ()
        assert export is not None
        assert export.texts == 6
        if form.weights == "f32":
            assert (export.same_texts, export.mean_change) == (6, 0.0)
        else:
            assert 0 < export.mean_change < USUAL_COST[form.weights]


@pytest.mark.parametrize("seed", [2, 3])
def test_no_honest_model_is_accused(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_HERD_CACHE", str(tmp_path / "cache"))
    asked = asked_from(seed)
    base = model_of(tmp_path, "base", seed, None, asked)
    tuned = model_of(tmp_path, "tuned", seed, seed, asked)
    prover = FileProver(base, tuned, asked, str.split, lambda _line: None)
    assert [prover.export(form)[1] for form in (F16, Q8, Q4)] == [()] * 3


@pytest.mark.parametrize("form", [F32, Q8, Q4])
def test_a_tensor_that_was_changed_is_named(
    form: Form, prover: FileProver, damaged: Callable[[Damage], None]
) -> None:
    def change(read: Checkpoint) -> Checkpoint:
        def load(name: str) -> np.ndarray:
            values = read.load(name)
            if name == "layers.1.down":
                values = values.copy()
                values[5, 7] += 0.5
            return values

        return replace(read, load=load)

    damaged(rewritten(change, form.weights))
    _, wrong = prover.export(form)
    assert wrong
    assert wrong[0].startswith(f"has another layers.1.down than {form.weights} weights make of")
    assert "first in row 5" in wrong[0]


def test_tensors_of_two_layers_that_were_swapped_are_named(
    prover: FileProver, damaged: Callable[[Damage], None]
) -> None:
    swapped = {"layers.0.v": "layers.1.v", "layers.1.v": "layers.0.v"}
    damaged(
        rewritten(
            lambda read: replace(read, load=lambda name: read.load(swapped.get(name, name))), "f16"
        )
    )
    _, wrong = prover.export(F16)
    assert wrong[0].startswith("has another layers.0.v than f16 weights make of the merged ")


def test_the_bases_file_under_the_name_of_the_tuned_model_is_named(
    prover: FileProver, damaged: Callable[[Damage], None]
) -> None:
    base = ensure_artifact(prover.base.spec, "gguf", "q8_0").file("model").path

    def damage(artifact: Artifact) -> None:
        path = artifact.file("model").path
        path.write_bytes(base.read_bytes())

    damaged(damage)
    _, wrong = prover.export(Q8)
    assert wrong[0].startswith("has another layers.0.q than q8_0 weights make of the merged ")
    assert wrong[-1].startswith("changes log p of the held-out text by ")


def test_files_of_the_same_values_are_computed_once(
    prover: FileProver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = FileProver(prover.base, prover.tuned, prover._asked, str.split, lambda _line: None)
    computed: list[Checkpoint] = []

    class Counted(Reference):
        def __init__(self, checkpoint: Checkpoint) -> None:
            computed.append(checkpoint)
            super().__init__(checkpoint)

    monkeypatch.setattr("experiments.finetune.proof.same_texts.Reference", Counted)
    found = [asked.export(form)[0] for form in (Q4, M_Q4)]
    assert len(computed) == 2  # the base's and the tuned model's
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].mean_change == found[1].mean_change > 0


@pytest.mark.parametrize("form", [Q4, M_Q4])
def test_a_single_scale_that_was_changed_is_named(
    form: Form, prover: FileProver, damaged: Callable[[Damage], None]
) -> None:
    def damage(artifact: Artifact) -> None:
        path = artifact.file("model").path
        content = bytearray(path.read_bytes())
        content[-200 * 18] ^= 1  # the last bit of the scale of a block of the classifier
        path.write_bytes(bytes(content))

    damaged(damage)
    _, wrong = prover.export(form)
    assert len(wrong) == 1
    assert wrong[0].startswith("has another classifier than q4_0 weights make of")
    assert re.search(r" (2[0-9]|3[0-2]) of 25600 values differ", wrong[0])  # zeros stay


def test_what_ruins_the_text_is_said_in_nats(
    prover: FileProver, damaged: Callable[[Damage], None]
) -> None:
    def change(read: Checkpoint) -> Checkpoint:
        return replace(
            read, load=lambda name: read.load(name) * (-1 if name == "layers.0.v" else 1)
        )

    damaged(rewritten(change, "f32"))
    export, wrong = prover.export(F32)
    assert export is not None
    assert wrong[1].endswith(export.first_other)
    tensor, text, nats = wrong
    assert tensor.startswith("has another layers.0.v ")
    assert text.startswith("says another text than the merged model: prompt 1, token ")
    assert nats.startswith("changes log p of the held-out text by ")


def test_what_is_no_number_is_named(prover: FileProver, damaged: Callable[[Damage], None]) -> None:
    def change(read: Checkpoint) -> Checkpoint:
        return replace(
            read, load=lambda name: read.load(name) * (np.nan if name == "layers.0.v" else 1)
        )

    damaged(rewritten(change, "f32"))
    export, wrong = prover.export(F32)
    assert export is None
    assert wrong[0].startswith("has another layers.0.v ")
    assert wrong[-1] == "computes values that are not numbers"


def test_another_chat_template_is_named_with_its_first_token(
    prover: FileProver, damaged: Callable[[Damage], None]
) -> None:
    other = TEMPLATE.replace("m['content']", "m['text']")
    damaged(rewritten(with_tokenizer(chat_template=other), "q8_0"))
    export, wrong = prover.export(Q8)
    assert wrong == (
        """has in its chat template as token 10 "m['text']", the base "m['content']\"""",
    )
    assert export is not None
    assert export.differs == wrong


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"eos_ids": (1,)}, "ends a text with token 1 ('<s>'), the base token 2 ('</s>')"),
        ({"eos_ids": (2, 300)}, "ends a text with token 300 ("),
        ({"bos_id": 2}, "begins a text with token 2 ('</s>'), the base token 1 ('<s>')"),
        ({"add_bos": False}, "puts the beginning before a text: False, the base True"),
        ({"add_space": "never"}, "puts a space before a text: 'never', the base 'always'"),
        ({"chat_template": None}, "has no chat template, unlike the base"),
    ],
)
def test_another_end_or_beginning_is_named(
    change: dict[str, object],
    what: str,
    prover: FileProver,
    damaged: Callable[[Damage], None],
) -> None:
    damaged(rewritten(with_tokenizer(**change), "f16"))
    _, wrong = prover.export(F16)
    assert len(wrong) == 1
    assert wrong[0].startswith(what)


def test_a_token_that_was_changed_is_named(
    prover: FileProver, damaged: Callable[[Damage], None]
) -> None:
    pieces = list(prover.base.checkpoint.tokenizer.pieces)
    pieces[300], pieces[301] = pieces[301], pieces[300]
    damaged(rewritten(with_tokenizer(pieces=tuple(pieces)), "f16"))
    _, wrong = prover.export(F16)
    assert wrong[0] == f"has for token 300 {pieces[300]!r}, the base {pieces[301]!r}"


def test_a_file_that_cannot_be_read_is_a_fault_where_the_bases_can(
    prover: FileProver, damaged: Callable[[Damage], None]
) -> None:
    def damage(artifact: Artifact) -> None:
        path = artifact.file("model").path
        path.write_bytes(path.read_bytes()[:-9])

    damaged(damage)
    export, wrong = prover.export(M_Q4)
    assert export is None
    assert wrong[0].startswith("cannot be written or read, the base's can: ")


def test_what_the_base_has_not_either_is_said_and_no_fault(
    prover: FileProver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_how: object) -> Artifact:
        raise HerdError("no way of cutting is known")

    said: list[str] = []
    monkeypatch.setattr(exports, "ensure_artifact", refuse)
    monkeypatch.setattr(prover, "_say", said.append)
    assert prover.export(F16) == (None, ())
    assert said[0].endswith("the base cannot be written so: no way of cutting is known")
