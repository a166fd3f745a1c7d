"""The proof of sameness: base + adapter, the merged model, and the file of every engine.

Base + adapter and merged may differ by rounding alone (`merged`), merged and base must differ by
more. What the merged directory has next to its weights is the base's, byte by byte. A file of an
engine may differ by what its form costs (`files`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer as Library

from core.errors import HerdError
from core.foreign import one_line
from experiments.finetune.proof.exports import forms_of
from experiments.finetune.proof.files import FileProver, FloatModel, other_shape
from experiments.finetune.proof.merged import compare_merged
from experiments.finetune.proof.same_texts import asked_of, say_in_float32
from experiments.finetune.proof.vocabularies import Split, differences
from models.build import VOCABULARY_ROLES
from models.catalogue import tuned_spec
from models.checkpoint import tensor_shapes
from models.formats.huggingface.config import CONFIG
from models.formats.huggingface.reader import read_huggingface
from models.tuned import Sameness

if TYPE_CHECKING:
    from experiments.finetune.data.prepare import Prepared
    from experiments.finetune.recipe import Recipe
    from models.catalogue import ModelSpec


def prove_sameness(
    base_folder: Path,
    merged_folder: Path,
    adapter_folder: Path,
    prepared: Prepared,
    recipe: Recipe,
    spec: ModelSpec,
    say: Callable[[str], None],
) -> Sameness:
    """Compare all forms of a tuned model, each as it is on the disk.

    The files of engines are built in the cache, where `fab prepare` finds them.

    Args:
        base_folder: Hugging Face directory of the base, in float32.
        merged_folder: the tuned model's.
        adapter_folder: what was trained.
        prepared: the data; only its held-out part is read.
        recipe: names the tuned model.
        spec: the base, as the catalogue has it.
        say: hears what is compared, a line each.

    Raises:
        HerdError: a folder cannot be read, or the disk is full.
    """
    base, merged = read_huggingface(base_folder), read_huggingface(merged_folder)
    if tensor_shapes(merged.shape) != tensor_shapes(base.shape):
        what = "; ".join(other_shape(merged, base))
        raise HerdError(f"{merged_folder} is no model tuned from {base_folder}: it {what}.")
    figures = compare_merged(
        base_folder, merged_folder, adapter_folder, prepared.held_out, base.tokenizer
    )
    say(
        f"merged against base + adapter: logits after {figures.tokens} tokens differ by at most "
        f"{figures.merge_change:.2g}; against the base by up to {figures.base_change:.2g}"
    )
    asked = asked_of(prepared.held_out, base.shape)
    say(
        f"files of engines: {len(asked.prompts)} continued prompts and {asked.scored_tokens} "
        "tokens of held-out text each, tuned model and base"
    )
    prover = FileProver(
        base=FloatModel(spec, base, say_in_float32(base, asked)),
        tuned=FloatModel(
            tuned_spec(spec, recipe.name, merged_folder), merged, say_in_float32(merged, asked)
        ),
        asked=asked,
        split=_splitter(base_folder),
        say=say,
    )
    faults = [*figures.faults, *_folder_faults(base_folder, merged_folder, prover)]
    exports = []
    for form in forms_of(prover.tuned.spec):
        export, wrong = prover.export(form)
        faults += [f"{str(form)[0].upper()}{str(form)[1:]} {what}." for what in wrong]
        exports += [] if export is None else [export]
    return Sameness(
        merge_change=figures.merge_change,
        base_change=figures.base_change,
        exports=tuple(exports),
        faults=tuple(faults),
    )


def _folder_faults(base: Path, merged: Path, prover: FileProver) -> list[str]:
    """Say what `merged/` has otherwise than the base, trained tensors aside."""
    found, wanted = prover.tuned.checkpoint, prover.base.checkpoint
    wrong = [
        *differences(found.tokenizer, wanted.tokenizer, prover.split),
        *other_shape(found, wanted),
    ]
    names = (CONFIG, *(f"{role}.json" for role in VOCABULARY_ROLES))
    if not wrong:
        wrong = [
            f"has another {name} than the base"
            for name in names
            if (base / name).read_bytes() != (merged / name).read_bytes()
        ]
    return [f"The merged model {what}." for what in map(one_line, wrong)]


def _splitter(folder: Path) -> Split:
    """Return what cuts a text into the tokens of a model."""
    library = Library.from_file(str(folder / "tokenizer.json"))

    def split(text: str) -> list[str]:
        encoded = library.encode(text, add_special_tokens=False)
        return [text[start:end] for start, end in encoded.offsets]

    return split
