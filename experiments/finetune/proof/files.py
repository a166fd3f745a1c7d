"""Whether a file of an engine holds the merged model, and nothing but what its form costs.

Every tensor must be what the file's type of weights makes of the merged model's, value by value.
Vocabulary, chat template, beginning and ends must be those of the base's file in the same form. In
float32 the file must say the same texts. In other types log p of the held-out text may change by
what the type costs the base, twice over, or by what it costs models in general (`USUAL_COST`),
whichever is more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import HerdError
from core.foreign import one_line
from core.progress import SilentReporter
from experiments.finetune.proof.exports import build_and_read_back
from experiments.finetune.proof.same_texts import (
    FileComparison,
    FileDifference,
    ProofTexts,
    Said,
    in_memory,
)
from experiments.finetune.proof.vocabularies import Split, differences
from models.checkpoint import tensor_shapes
from models.formats.gguf.writer import tensor_weights
from models.formats.quantise import packed_tensor, unpack
from models.tuned import Export

if TYPE_CHECKING:
    from experiments.finetune.proof.exports import Form, ReadBack
    from models.catalogue import ModelSpec
    from models.checkpoint import Checkpoint
    from models.shape import Weights

TIMES_THE_BASE = 2.0
USUAL_COST: dict[Weights, float] = {"f32": 1e-5, "f16": 0.01, "q8_0": 0.05, "q4_0": 0.5}
"""Mean |Δ log p| in nats that a type of weights may cost any model. Published weights may be exact
in a type already (bfloat16 in f16, most), so the base alone is no measure for it."""


@dataclass(frozen=True)
class FloatModel:
    """A model in float32, and what it says."""

    spec: ModelSpec
    checkpoint: Checkpoint
    said: Said


class FileProver:
    """Compares the files of engines, one after the other."""

    def __init__(
        self,
        base: FloatModel,
        tuned: FloatModel,
        asked: ProofTexts,
        split: Split,
        say: Callable[[str], None],
    ) -> None:
        self.base, self.tuned = base, tuned
        self.split = split
        self._asked, self._say = asked, say
        self._of_base = FileComparison(asked, base.said)
        self._of_tuned = FileComparison(asked, tuned.said)

    def export(self, form: Form) -> tuple[Export | None, tuple[str, ...]]:
        """Compare a file of the tuned model and the base's.

        Returns:
            The figures, and what is wrong, each the end of a sentence about the file. No figures
            where not even the base has such a file.
        """
        try:
            of_base = self._read(self.base, form)
        except HerdError as error:
            self._say(f"{form}: not compared, because the base cannot be written so: {error}")
            return None, ()
        try:
            of_tuned = self._read(self.tuned, form)
        except HerdError as error:
            return None, (one_line(f"cannot be written or read, the base's can: {error}"),)
        before = self._of_base.with_file(in_memory(of_base.checkpoint))
        file = in_memory(of_tuned.checkpoint)
        wrong = (
            *differences(of_tuned.tokenizer, of_base.tokenizer, self.split),
            *other_shape(file, of_base.checkpoint),
            *other_tensors(file, self.tuned.checkpoint, form.weights),
        )
        if tensor_shapes(file.shape) != tensor_shapes(self.base.checkpoint.shape):
            return None, tuple(map(one_line, wrong))
        after = self._of_tuned.with_file(file)
        if not math.isfinite(after.mean_change):
            return None, (*map(one_line, wrong), "computes values that are not numbers")
        export = Export(
            engine=form.engine,
            format=form.format,
            weights=form.weights,
            sha256=of_tuned.sha256,
            same_texts=after.same_texts,
            texts=len(self._asked.prompts),
            mean_change=after.mean_change,
            base_same_texts=before.same_texts,
            base_mean_change=before.mean_change,
            base_sha256=of_base.sha256,
            first_other=self._first_other(after),
            differs=tuple(map(one_line, wrong)),
        )
        self._say(
            f"{form}: {after.same_texts} of {export.texts} texts the same, mean |Δ log p| "
            f"{after.mean_change:.2g} nats; the base's {before.same_texts} and "
            f"{before.mean_change:.2g}"
        )
        return export, (*export.differs, *self._costs(form, after, before))

    def _read(self, model: FloatModel, form: Form) -> ReadBack:
        return build_and_read_back(model.spec, form, model.checkpoint.tokenizer, SilentReporter())

    def _first_other(self, difference: FileDifference) -> str:
        if difference.first_other is None:
            return ""
        prompt, at, found, wanted = difference.first_other
        pieces = self.base.checkpoint.tokenizer.pieces
        return f"prompt {prompt + 1}, token {at + 1}: {pieces[found]!r} for {pieces[wanted]!r}"

    def _costs(self, form: Form, after: FileDifference, before: FileDifference) -> tuple[str, ...]:
        """Name what a file says otherwise than its type of weights can explain."""
        wrong = []
        if form.weights == "f32" and after.first_other and not before.first_other:
            wrong.append(f"says another text than the merged model: {self._first_other(after)}")
        allowed = max(TIMES_THE_BASE * before.mean_change, USUAL_COST[form.weights])
        if not after.mean_change <= allowed:
            wrong.append(
                f"changes log p of the held-out text by {after.mean_change:.2g} nats a token; "
                f"{form.weights} weights explain up to {allowed:.2g} (the base's file changes by "
                f"{before.mean_change:.2g})"
            )
        return tuple(wrong)


def other_shape(found: Checkpoint, base: Checkpoint) -> list[str]:
    """Say which number of the shape differs."""
    here, there = found.shape.model_dump(), base.shape.model_dump()
    return [
        f"has {name} {here[name]}, the base {there[name]}"
        for name in there
        if here[name] != there[name]
    ]


def other_tensors(found: Checkpoint, merged: Checkpoint, weights: Weights) -> list[str]:
    """Name the first tensor that is not what a type of weights makes of the merged model's.

    Args:
        found: as it was read back from a file.
        merged: the merged model in float32.
        weights: of the file.

    Returns:
        The end of a sentence about the file; none where all are the same.
    """
    for name, size in tensor_shapes(merged.shape).items():
        if tensor_shapes(found.shape).get(name) != size:
            return [f"has no {name} of the merged model's shape"]
        kind = tensor_weights(name, size, weights)
        wanted = unpack(packed_tensor(merged, name, kind), kind).reshape(size)
        values = found.tensor(name)
        if not np.array_equal(values, wanted):
            others = np.atleast_2d(values != wanted)
            row = int(others.any(axis=1).argmax())
            most = float(np.abs(values - wanted).max())
            what = (
                f"has another {name} than {kind} weights make of the merged model's: "
                f"{int(others.sum())} of {others.size} values differ, by up to {most:.2g}, first "
                f"in row {row}"
            )
            return [what]
    return []
