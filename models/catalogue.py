"""The catalogue: every model by name, with shape, licence, files, and where to get them."""

from __future__ import annotations

import difflib
import functools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from core.digest import sha256_of
from core.errors import HerdError
from core.yaml_file import load_yaml_file
from models import tuned as layout
from models.catalogue_file import CatalogueFile, FilePiece, FileSource, ModelFile
from models.fine_tuned import (
    has_tuned,
    read_tuned,
    tuned_names,
    why_not_a_name,
    why_not_offered,
)
from models.formats.huggingface.reader import WEIGHTS
from models.padding import padded_name, padded_shape, split_name
from models.shape import ModelShape
from models.synthetic import SYNTHETIC_PREFIX, parse_synthetic_name
from models.tuned import MERGED_FOLDER

if TYPE_CHECKING:
    from models.catalogue_file import CatalogueEntry, ChatForm, SourceFormat
    from models.tuned import TunedRecord

__all__ = [
    "Catalogue",
    "FilePiece",
    "FileSource",
    "ModelFile",
    "ModelShape",
    "ModelSpec",
    "load_catalogue",
]

_EDITION = 8
DEFAULT_CATALOGUE = Path(__file__).with_name("catalogue.yml")


@dataclass(frozen=True)
class ModelSpec:
    """A model of the catalogue, or a synthetic one of a shape that the user gave.

    Attributes:
        name: as written in a matrix; for synthetic models in a canonical spelling.
        shape: its sizes.
        licence: what its publisher allows.
        source: where it comes from, for people.
        about: one line for `fab models`.
        chat: the form in which its files write out a conversation; None if they cannot.
        adds_bos: its tokeniser puts a beginning-of-sequence before a text.
        format: what the published files are; None for random weights.
        checkpoint: the published weights; None for random weights.
        tokenizer: the published vocabulary, where it is a separate file.
        directory: the files of a published Hugging Face directory, weights and vocabulary.
        seed: seed of the random weights; None for published ones.
        unpadded: the model without added zero heads (`models.padding`); None if it has none.
        folder: its Hugging Face directory on this machine, where it is made here and not published.
        tuned: how it was made, where it is a fine-tuned model.
        edition: of one that is made here, the beginning of its weights' sha256. Engines' files are
            called so, too: those of an earlier training are never taken for these.
    """

    name: str
    shape: ModelShape
    licence: str
    source: str
    about: str
    chat: ChatForm | None = None
    adds_bos: bool = True
    format: SourceFormat | None = None
    checkpoint: ModelFile | None = None
    tokenizer: ModelFile | None = None
    directory: tuple[ModelFile, ...] = ()
    seed: int | None = None
    unpadded: ModelSpec | None = None
    folder: Path | None = None
    tuned: TunedRecord | None = None
    edition: str = ""

    @property
    def parameters(self) -> int:
        """Number of trained values."""
        return self.shape.parameters

    @property
    def slug(self) -> str:
        """The name, safe as a folder or file name."""
        named = re.sub(r"[^a-z0-9._-]+", "-", self.name.replace("=", "")).strip("-")
        return f"{named}-{self.edition}" if self.edition else named


class Catalogue:
    """The models known by name. Made by `load_catalogue`."""

    def __init__(self, specs: dict[str, ModelSpec], tuned: Path | None = None) -> None:
        self._specs = specs
        self._tuned = tuned

    def names(self) -> tuple[str, ...]:
        """All names, in the order of the file, then those of the fine-tuned models."""
        refused = self.refused()
        return (*self._specs, *(name for name in self._tuned_names() if name not in refused))

    def refused(self) -> dict[str, str]:
        """Name each fine-tuned model that cannot be used, and say why in a sentence."""
        found = {}
        for name in self._tuned_names():
            try:
                self._tuned_spec(name, ())
            except HerdError as error:
                found[name] = str(error)
        return found

    def require_free_name(self, name: str) -> None:
        """Refuse a name that a fine-tuned model cannot have.

        Raises:
            HerdError: the catalogue has a model whose files are called so.
        """
        obstacle = why_not_a_name(name, {spec.slug: spec.name for spec in self._specs.values()})
        if obstacle:
            raise HerdError(
                f"A fine-tuned model cannot be called {name}: {obstacle}. Choose another `name`."
            )

    def get(self, name: str) -> ModelSpec:
        """Find a model by name; also understands `synthetic:dim=…,hidden=…,…`.

        Either with `+kvN` at the end is that model with zero heads up to N KV heads.

        Raises:
            HerdError: no such model, a shape or number of heads that cannot be, or a fine-tuned
                model that is not finished, damaged, or not the same in all its forms.
        """
        return self._get(name, ())

    def _get(self, name: str, descendants: tuple[str, ...]) -> ModelSpec:
        """Find a model that is the base of these, the first of them what was asked for."""
        base_name, kv_heads = split_name(name)
        if kv_heads is not None:
            return _padded(self._get(base_name, descendants), kv_heads)
        if name in self._specs:
            return self._specs[name]
        if self._tuned is not None and has_tuned(self._tuned, name):
            return self._tuned_spec(name, descendants)
        if name.startswith(SYNTHETIC_PREFIX) and ("=" in name or name == SYNTHETIC_PREFIX):
            canonical, shape, seed = parse_synthetic_name(name)
            return ModelSpec(
                name=canonical,
                shape=shape,
                seed=seed,
                licence="none (random)",
                source="made on this machine",
                about="Random weights with a given shape",
            )
        known = (*self._specs, *self._tuned_names())
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = (
            f"Did you mean {' or '.join(close)}?"
            if close
            else (f"The known models are: {', '.join(known)}.")
        )
        raise HerdError(
            f"The catalogue has no model `{name}`. {hint} For any other shape, write "
            "synthetic:dim=512,hidden=1536,layers=8,heads=8,kv_heads=8,vocab=4096,context=512,seed=1."
        )

    def _tuned_names(self) -> tuple[str, ...]:
        return () if self._tuned is None else tuned_names(self._tuned)

    def _tuned_spec(self, name: str, descendants: tuple[str, ...]) -> ModelSpec:
        """Give a fine-tuned model what its files need and its record does not say: its base's.

        Raises:
            HerdError: it cannot be used.
        """
        folder = cast("Path", self._tuned)
        self.require_free_name(name)
        if name in descendants:
            raise HerdError(f"The fine-tuned model {name} is recorded as made of itself.")
        record = read_tuned(folder, name)
        try:
            base = self._get(record.parentage.base, (*descendants, name))
        except HerdError as error:
            raise HerdError(
                f"The fine-tuned model {name} was made of {record.parentage.base}. {error}"
            ) from None
        obstacle = why_not_offered(record, base.shape)
        if obstacle:
            raise HerdError(f"The fine-tuned model {name} cannot be used: {obstacle}.")
        return tuned_spec(base, name, folder / name / MERGED_FOLDER, record)


def tuned_spec(
    base: ModelSpec, name: str, folder: Path, record: TunedRecord | None = None
) -> ModelSpec:
    """Return a fine-tuned model as the catalogue has it, also before its record is written.

    Args:
        base: the model that was fine-tuned.
        name: its own.
        folder: its Hugging Face directory.
        record: how it was made, where that is known already.

    Raises:
        OSError: without a record, the weights cannot be read.
    """
    sha256 = record.files[WEIGHTS] if record else sha256_of(folder / WEIGHTS)
    return replace(
        base,
        name=name,
        about=base.about if record is None else record.about,
        licence=base.licence if record is None else record.licence,
        folder=folder,
        tuned=record,
        edition=sha256[:_EDITION],
        source=f"fine-tuned on this machine, of {base.name}",
        format="huggingface",
        checkpoint=None,
        tokenizer=None,
        directory=(),
        seed=None,
    )


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Read the catalogue of models; `path` defaults to the project's own, which is read once.

    The project's own also has the fine-tuned models of this machine, each read when asked for.

    Raises:
        HerdError: the file is wrong; the message has file, line and what would be right.
    """
    if path:
        return Catalogue(_read_specs(path))
    return Catalogue(_own_specs(), layout.TUNED_FOLDER)


@functools.cache
def _own_specs() -> dict[str, ModelSpec]:
    return _read_specs(DEFAULT_CATALOGUE)


def _read_specs(path: Path) -> dict[str, ModelSpec]:
    document = load_yaml_file(path, CatalogueFile, "the catalogue of models")
    return {name: _spec(name, entry) for name, entry in document.models.items()}


def _padded(spec: ModelSpec, kv_heads: int) -> ModelSpec:
    if spec.unpadded is not None:
        once = padded_name(spec.unpadded.name, kv_heads)
        raise HerdError(f"`{padded_name(spec.name, kv_heads)}` adds heads twice; write {once}.")
    if spec.format == "dllama":
        raise HerdError(
            f"`{padded_name(spec.name, kv_heads)}` is not possible: {spec.name} is published in "
            "distributed-llama's format and used unchanged. Convert the original with `fab "
            "convert --kv-heads`."
        )
    try:
        shape = padded_shape(spec.shape, kv_heads)
    except HerdError as error:
        raise HerdError(f"The model `{padded_name(spec.name, kv_heads)}`: {error}") from None
    return replace(spec, name=padded_name(spec.name, kv_heads), shape=shape, unpadded=spec)


def _spec(name: str, entry: CatalogueEntry) -> ModelSpec:
    return ModelSpec(
        name=name,
        shape=entry.shape,
        licence=entry.licence,
        source=entry.source,
        about=entry.about,
        seed=entry.seed,
        chat=entry.chat,
        adds_bos=entry.adds_bos,
        format=entry.format,
        checkpoint=entry.files.checkpoint if entry.files else None,
        tokenizer=entry.files.tokenizer if entry.files else None,
        directory=entry.directory.listed() if entry.directory else (),
    )
