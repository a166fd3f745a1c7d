"""Data known by name (`experiments/finetunes/data.yml`): fetched, compared by hash, and read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.paths import PROJECT_FOLDER
from core.yaml_file import load_yaml_file
from core.yaml_text import YamlTextError, read_yaml
from experiments.finetune.data.documents import Document, Turn, text_fault
from experiments.finetune.data.plain_text import read_text
from models.cache import cache_folder, only_one_at_a_time, scratch_folder
from models.catalogue import ModelFile
from models.download import ensure_file
from models.packages import PackageStore

if TYPE_CHECKING:
    from core.progress import Reporter
    from experiments.finetune.data.documents import Faults

DATA_LIST = PROJECT_FOLDER / "experiments" / "finetunes" / "data.yml"
_PARAGRAPHS = re.compile(r"\n(?:[ \t]*\n)+")


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataEntry(_Closed):
    """Data known by name.

    Attributes:
        about: one line for people.
        licence: what its publisher allows.
        source: where it comes from, for people.
        read: how documents are made of its files.
        heading: pattern of a whole line that begins a document, for `stories`.
        files: with size, sha256 and where they are available.
    """

    about: str
    licence: str
    source: str
    read: Literal["stories", "conversations"]
    heading: str | None = None
    files: Annotated[tuple[ModelFile, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_a_heading_for_stories(self) -> Self:
        if (self.read == "stories") != (self.heading is not None):
            raise ValueError("`read: stories` needs a `heading`, and nothing else has one")
        try:
            re.compile(self.heading or "")
        except re.error as error:
            raise ValueError(f"`heading` is not a valid regular expression: {error}") from None
        unpinned = next((file.name for file in self.files if file.sha256 is None), None)
        if unpinned is not None:
            raise ValueError(f"{unpinned} needs its sha256")
        return self


class _DataList(_Closed):
    data: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")], DataEntry]


def load_data_list(path: Path = DATA_LIST) -> dict[str, DataEntry]:
    """Read the list of data.

    Raises:
        HerdError: the file is wrong; with file and line.
    """
    return load_yaml_file(path, _DataList, "the list of data").data


def fetch_data(name: str, entry: DataEntry, reporter: Reporter) -> list[Path]:
    """The files of an entry on this machine; fetched if they are not there.

    Raises:
        HerdError: no source gave a file, or the disk is full.
    """
    folder, doing = cache_folder() / "data" / name, f"Fetching {name}"
    with (
        only_one_at_a_time(folder, doing, reporter),
        scratch_folder(folder / ".packages", doing) as scratch,
    ):
        packages = PackageStore(scratch, reporter)
        return [ensure_file(file, folder, packages, reporter) for file in entry.files]


def read_entry(entry: DataEntry, paths: list[Path], faults: Faults) -> list[Document]:
    """The documents in the files of an entry; what is damaged goes to `faults`."""
    documents: list[Document] = []
    for path in paths:
        if entry.read == "conversations":
            documents += _pairs(path, faults)
        else:
            text = read_text(path, faults)
            documents += _stories(text, path.name, re.compile(entry.heading or ""))
    return documents


def _stories(text: str, name: str, heading: re.Pattern[str]) -> list[Document]:
    """What follows each heading; what is before the first one is no story."""
    lines = text.split("\n")
    begins = [at for at, line in enumerate(lines) if heading.fullmatch(line)]
    documents = []
    for at, end in zip(begins, [*begins[1:], len(lines)], strict=True):
        paragraphs = _PARAGRAPHS.split("\n".join(lines[at + 1 : end]))
        joined = "\n\n".join(filter(None, (" ".join(part.split()) for part in paragraphs)))
        if joined:
            documents.append(Document(f"{name}:{at + 1}", text=joined))
    return documents


def _pairs(path: Path, faults: Faults) -> list[Document]:
    try:
        root, _ = read_yaml(path)
    except YamlTextError as error:
        faults.add(path, error.line, str(error))
        return []
    documents = []
    for conversation in _conversations(root):
        said = [node for node in conversation.value if isinstance(node, yaml.ScalarNode)]
        for asked, answer in zip(said[::2], said[1::2], strict=False):
            line = asked.start_mark.line + 1
            wrong = text_fault(asked.value) or text_fault(answer.value)
            if wrong:
                faults.add(path, line, wrong)
                continue
            turns = (Turn("user", asked.value.strip()), Turn("assistant", answer.value.strip()))
            documents.append(Document(f"{path.name}:{line}", turns=turns))
    return documents


def _conversations(root: yaml.Node | None) -> list[yaml.SequenceNode]:
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    listed = next((value for key, value in pairs if key.value == "conversations"), None)
    entries = listed.value if isinstance(listed, yaml.SequenceNode) else []
    return [entry for entry in entries if isinstance(entry, yaml.SequenceNode)]
