"""Reads the data of a recipe: a file, a folder of files, or an entry of the list of data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.digest import sha256_of
from core.errors import HerdError
from core.paths import PROJECT_FOLDER
from core.progress import LineReporter
from experiments.finetune.data.documents import MOST_BYTES, Document, Faults
from experiments.finetune.data.formats import TABLE_SUFFIXES, read_table, require_not_many
from experiments.finetune.data.listed_data import (
    DATA_LIST,
    DataEntry,
    fetch_data,
    load_data_list,
    read_entry,
)
from experiments.finetune.data.plain_text import TEXT_SUFFIXES, blank_lines_of, parts_of, read_text
from experiments.finetune.recipe import recipe_mistake

if TYPE_CHECKING:
    from experiments.finetune.recipe import Recipe

_SUFFIXES = (*TABLE_SUFFIXES, *TEXT_SUFFIXES)
_MOST_FILES = 10_000


@dataclass(frozen=True)
class ReadData:
    """The documents of a recipe's data.

    Attributes:
        documents: in the order of the files.
        files: name to sha256 of what was read.
        licence: what its publisher allows; None for files of the user.
    """

    documents: tuple[Document, ...]
    files: dict[str, str]
    licence: str | None = None


def read_data(recipe: Recipe, say: Callable[[str], None]) -> ReadData:
    """Read what a recipe trains on.

    Args:
        recipe: names it in `data` and `columns`.
        say: hears at what a text was cut.

    Raises:
        HerdError: there is no such data, columns are missing or say nothing, or an entry is
            damaged; the first ones are named with file and line.
    """
    known = load_data_list()
    if recipe.data in known:
        return _listed(recipe, known[recipe.data], say)
    path = data_path(recipe, known)
    files = _files_of(path)
    _require_columns(recipe, files)
    faults, documents = Faults(), list[Document]()
    for file in files:
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        documents += _read(recipe, file, name, faults, say, is_alone=not path.is_dir())
        require_not_many(len(documents), path)
    return _whole(documents, files, faults, path)


def _listed(recipe: Recipe, entry: DataEntry, say: Callable[[str], None]) -> ReadData:
    if recipe.columns is not None:
        raise recipe_mistake(
            recipe, "columns", f"says nothing about {recipe.data}, which is read in its own way"
        )
    files = fetch_data(recipe.data, entry, LineReporter(say))
    faults = Faults()
    read = _whole(read_entry(entry, files, faults), files, faults, DATA_LIST)
    return replace(read, licence=entry.licence)


def _whole(documents: list[Document], files: list[Path], faults: Faults, where: Path) -> ReadData:
    faults.require_none()
    if not documents:
        raise HerdError(f"{where} has nothing to train on: it is empty.")
    return ReadData(tuple(documents), {file.name: sha256_of(file) for file in files})


def data_path(recipe: Recipe, known: Iterable[str] = ()) -> Path:
    """Where the data of a recipe is: next to the recipe, or from the project's folder.

    Raises:
        HerdError: there is nothing.
    """
    tried = [Path(recipe.file).resolve().parent / recipe.data, PROJECT_FOLDER / recipe.data]
    for path in tried:
        if path.exists():
            return path
    raise recipe_mistake(
        recipe,
        "data",
        f"is {recipe.data}, but there is neither "
        f"{' nor '.join(str(path) for path in dict.fromkeys(tried))}. Write the path of a file or "
        f"a folder, or a name of {DATA_LIST.relative_to(PROJECT_FOLDER)} ({', '.join(known)})",
    )


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        files = [path]
    else:
        files = sorted(one for one in path.iterdir() if not one.name.startswith("."))
    if not files:
        raise HerdError(f"{path} is an empty folder: put the data there.")
    if len(files) > _MOST_FILES:
        raise HerdError(f"{path} has {len(files)} files; at most {_MOST_FILES} are read.")
    for file in files:
        if not file.name.isprintable():
            raise HerdError(
                f"{file.parent} has a file with a name that cannot be printed, {file.name!r}: "
                "rename it."
            )
        if not file.is_file() or file.suffix.lower() not in _SUFFIXES:
            kind = "no file of a known kind" if file.is_file() else "no regular file"
            raise HerdError(
                f"{file} is {'a folder' if file.is_dir() else kind}. Data must be files that end "
                f"in {', '.join(_SUFFIXES)}: rename it, or move it out of the folder."
            )
    size = sum(file.stat().st_size for file in files)
    if size > MOST_BYTES:
        raise HerdError(
            f"{path} has {size >> 20} MiB; at most {MOST_BYTES >> 20} MiB are read. Write less."
        )
    return files


def _require_columns(recipe: Recipe, files: list[Path]) -> None:
    for file in files:
        is_text = file.suffix.lower() in TEXT_SUFFIXES
        if is_text and recipe.columns is not None:
            raise recipe_mistake(
                recipe, "columns", f"says nothing about plain text, such as {file}. Delete it"
            )
        if not is_text and recipe.columns is None:
            raise recipe_mistake(
                recipe,
                "columns",
                f"is missing, because {file} has columns. Write for example `columns: {{prompt: "
                "question, response: answer}`, `columns: {text: story}` or `columns: {messages: "
                "messages}`",
            )
        if file.suffix.lower() == ".csv" and recipe.columns and recipe.columns.messages:
            raise recipe_mistake(
                recipe,
                "columns",
                f"names `messages`, but {file} cannot hold lists. Write the conversations as "
                "JSONL, or name `prompt` and `response`",
            )


def _read(
    recipe: Recipe,
    file: Path,
    name: str,
    faults: Faults,
    say: Callable[[str], None],
    *,
    is_alone: bool,
) -> list[Document]:
    if recipe.columns is not None:
        return read_table(file, recipe.columns, faults)
    text = read_text(file, faults)
    if not is_alone:
        return [Document(f"{name}:1", text=text.strip())] if text else []
    at, cut = blank_lines_of(text)
    documents = parts_of(text, name, cut)
    say(f"{name} is cut at {at} into {len(documents)} documents.")
    return documents
