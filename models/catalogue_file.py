"""What `catalogue.yml` may say: of each model its shape, its licence and where its files are."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.shape import ModelShape
from models.synthetic import check_vocabulary

_SHA256 = r"^[0-9a-f]{64}$"
_VARIABLE = r"^[A-Z][A-Z0-9_]*$"
_SOURCE = re.compile(
    r"https://\S+|npm:(@\w[\w.-]*/)?\w[\w.-]*@\w[\w.+-]*#\S+|pypi:\w[\w.-]*==\w[\w.!+-]*#\S+"
)


ChatForm = Literal["llama2", "llama3", "deepseek3", "chatml", "zephyr"]
SourceFormat = Literal["llama2c", "gguf", "dllama", "huggingface"]
"""What published files are: llama2.c's, GGUF, ready `.m` and `.t` of distributed-llama, or a
Hugging Face directory."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileSource(_Strict):
    """One place where a file is available: an HTTPS address or a path inside a package.

    Attributes:
        address: `https://…`, `npm:package@version#path` or `pypi:package==version#path`.
        byte_range: the part of the file there that is wanted, [start, end); None for all of it.
        size_bytes: size of this source's edition of the file; None when it is the file's own.
        sha256: the sha256 of this edition. An edition differs only in what its reader ignores.
        token_env: name of the environment variable with the token that its publisher wants; None
            if anyone may have it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    address: Annotated[str, Field(alias="from")]
    byte_range: Annotated[tuple[int, int] | None, Field(alias="bytes")] = None
    size_bytes: Annotated[int, Field(gt=0)] | None = None
    sha256: Annotated[str, Field(pattern=_SHA256)] | None = None
    token_env: Annotated[str, Field(pattern=_VARIABLE)] | None = None

    @model_validator(mode="after")
    def _is_one_of_three_kinds(self) -> Self:
        if not _SOURCE.fullmatch(self.address):
            raise ValueError(
                f"`{self.address}` is not a valid source; write https://…, "
                "npm:package@version#path/inside or pypi:package==version#path/inside"
            )
        if (self.size_bytes is None) != (self.sha256 is None):
            raise ValueError("size_bytes and sha256 of a source must be given together")
        if self.byte_range and not 0 <= self.byte_range[0] < self.byte_range[1]:
            raise ValueError("bytes must be [start, end] with 0 <= start < end")
        return self

    def require_giving(self, size_bytes: int | None, sha256: str | None) -> None:
        """Refuse a source that cannot give a file of that size and sha256.

        Raises:
            ValueError: a package or a part without both, or a part of another length.
        """
        if self.address.startswith(("npm:", "pypi:")) or self.byte_range:
            if size_bytes is None or sha256 is None:
                raise ValueError(f"the file of `{self.address}` needs size_bytes and sha256")
            if self.byte_range and self.byte_range[1] - self.byte_range[0] != size_bytes:
                raise ValueError(
                    f"the bytes of `{self.address}` must add up to size_bytes ({size_bytes})"
                )


class _Published(_Strict):
    size_bytes: Annotated[int, Field(gt=0)] | None = None
    sha256: Annotated[str, Field(pattern=_SHA256)] | None = None
    sources: tuple[FileSource, ...] = ()

    @model_validator(mode="after")
    def _sources_give_what_is_wanted(self) -> Self:
        for source in self.sources:
            source.require_giving(self.size_bytes, self.sha256)
        return self

    @property
    def accepted_sha256s(self) -> frozenset[str]:
        """Its sha256 and those of the editions that its sources pin."""
        return frozenset(filter(None, (self.sha256, *(s.sha256 for s in self.sources))))


class FilePiece(_Published):
    """A file, or one of the parts in which it is published, and the sources to try, in order.

    Attributes:
        size_bytes: its size; None if only its server knows.
        sha256: None if its publisher does not state it.
        sources: where it is available.
    """

    sources: Annotated[tuple[FileSource, ...], Field(min_length=1)]


class ModelFile(_Published):
    """A published file, whole or in parts that belong one behind the other.

    Attributes:
        name: what it is called in the cache.
        size_bytes: its size; None if it is stated nowhere.
        sha256: None if its publisher does not state it.
        sources: where the whole file is available.
        parts: the parts, if it is published in parts.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    parts: tuple[FilePiece, ...] = ()

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> Self:
        if bool(self.sources) == bool(self.parts):
            raise ValueError("a file needs either `sources` (whole) or `parts`")
        sizes = [piece.size_bytes for piece in self.pieces]
        if self.size_bytes and None not in sizes and sum(filter(None, sizes)) != self.size_bytes:
            raise ValueError(f"the parts must add up to size_bytes ({self.size_bytes})")
        return self

    @property
    def pieces(self) -> tuple[FilePiece, ...]:
        """The parts, or the whole file as the only one."""
        whole = FilePiece.model_construct(
            size_bytes=self.size_bytes, sha256=self.sha256, sources=self.sources
        )
        return self.parts or (whole,)


class _Files(_Strict):
    checkpoint: ModelFile
    tokenizer: ModelFile | None = None


class _DirectoryFile(_Strict):
    size_bytes: Annotated[int, Field(gt=0)] | None = None
    sha256: Annotated[str, Field(pattern=_SHA256)] | None = None


class _Directory(_Strict):
    """A Hugging Face directory: where its files are, and which are wanted."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    address: Annotated[str, Field(alias="from", pattern=r"^https://\S+[^/]$")]
    token_env: Annotated[str, Field(pattern=_VARIABLE)] | None = None
    files: Annotated[
        dict[Annotated[str, Field(pattern=r"^[\w.-]+$")], _DirectoryFile], Field(min_length=1)
    ]

    def listed(self) -> tuple[ModelFile, ...]:
        """Its files, each with its one source."""
        return tuple(
            ModelFile(
                name=name,
                size_bytes=file.size_bytes,
                sha256=file.sha256,
                sources=(FileSource(address=f"{self.address}/{name}", token_env=self.token_env),),
            )
            for name, file in self.files.items()
        )


class CatalogueEntry(_Strict):
    """A model: what it is, and either where its files are or the seed of random weights."""

    about: str
    licence: str
    source: str
    shape: ModelShape
    chat: ChatForm | None = None
    adds_bos: bool = True
    format: SourceFormat | None = None
    files: _Files | None = None
    directory: _Directory | None = None
    seed: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _has_weights(self) -> Self:
        given = [one for one in (self.files, self.directory, self.seed) if one is not None]
        if len(given) != 1:
            raise ValueError(
                "a model needs either `files` or a `directory` (published weights) or a `seed` "
                "(random weights)"
            )
        if (self.seed is not None) != (self.format is None):
            raise ValueError("`format` and `files` must be given together")
        if (self.directory is not None) != (self.format == "huggingface"):
            raise ValueError("`format: huggingface` and `directory` must be given together")
        if self.files and (self.files.tokenizer is None) != (self.format == "gguf"):
            raise ValueError(
                "`files` of llama2c and dllama need a `tokenizer`; a gguf checkpoint contains "
                "its own"
            )
        if self.files and self.format == "llama2c" and self.files.checkpoint.sha256 is None:
            raise ValueError(
                "a llama2c checkpoint needs its sha256, because its header identifies too little"
            )
        if self.seed is not None:
            check_vocabulary(self.shape.vocab)
        return self


class CatalogueFile(_Strict):
    """The file."""

    models: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9:._-]*$")], CatalogueEntry]
