"""The files of every engine: which there are for a model, built, and read back from the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.engines import ON_NODES
from models.build import Artifact, Format, ensure_artifact, weights_of
from models.formats.dllama.model import read_model
from models.formats.dllama.vocabulary_reader import read_vocabulary
from models.formats.gguf.reader import read_gguf
from models.formats.huggingface.reader import read_huggingface

if TYPE_CHECKING:
    from core.progress import Reporter
    from models.catalogue import ModelSpec
    from models.checkpoint import Checkpoint
    from models.shape import Weights
    from models.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Form:
    """One of the files that a matrix may choose for a model."""

    engine: str
    format: Format
    weights: Weights

    def __str__(self) -> str:
        return f"{self.engine}'s file with {self.weights} weights"


@dataclass(frozen=True)
class ReadBack:
    """A file as the project's own readers find it on the disk.

    Attributes:
        checkpoint: its tensors, rows of embedding and classifier in the order of the vocabulary
            that the file was made with.
        tokenizer: its vocabulary as the file has it. The order of a `.t` file may be another one.
        sha256: of the file with the weights.
    """

    checkpoint: Checkpoint
    tokenizer: Tokenizer
    sha256: str


def forms_of(spec: ModelSpec) -> tuple[Form, ...]:
    """Return the file of every engine and type of weights that the catalogue offers for a model.

    What an engine makes while it loads a file (`int8`, `nf4`) is no separate file.
    """
    return tuple(
        Form(engine.name, engine.format, weights)
        for engine in ON_NODES.values()
        for weights in weights_of(spec, engine.format)
        if engine.node_counts(spec, weights)
    )


def build_and_read_back(
    spec: ModelSpec, form: Form, vocabulary: Tokenizer, reporter: Reporter
) -> ReadBack:
    """Build a file in the cache, where `fab prepare` finds it, and read it again from there.

    Args:
        spec: the model.
        form: which file.
        vocabulary: the model's own, as its Hugging Face directory has it.
        reporter: hears what is written.

    Raises:
        HerdError: it cannot be written in this form, or the disk is full.
    """
    return read_back(ensure_artifact(spec, form.format, form.weights, reporter), form, vocabulary)


def read_back(artifact: Artifact, form: Form, vocabulary: Tokenizer) -> ReadBack:
    """Read what engines will read.

    Raises:
        HerdError: a file is damaged.
    """
    model = artifact.file("model")
    if form.format == "dllama":
        # The tensors in the order of ids of the model, the vocabulary as it is.
        stored = read_vocabulary(artifact.file("tokenizer").path).tokenizer
        return ReadBack(read_model(model.path, vocabulary), stored, model.sha256)
    checkpoint = (
        read_gguf(model.path) if form.format == "gguf" else read_huggingface(model.path.parent)
    )
    return ReadBack(checkpoint, checkpoint.tokenizer, model.sha256)
