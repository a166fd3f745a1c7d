"""Reads the settings next to a vocabulary in a Hugging Face directory.

`tokenizer_config.json` has them, of old also `special_tokens_map.json` and `added_tokens.json`; the
chat template may be in `chat_template.jinja`. Where they differ, what transformers takes counts:
`special_tokens_map.json` of files that have no `added_tokens_decoder`, and the template in its own
file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from core.errors import HerdError
from models.formats.huggingface.json_file import as_kind, read_object
from models.formats.huggingface.known import require_known
from models.formats.huggingface.tokenizer_json import Added
from models.formats.model_files import is_there, read_small
from models.formats.unsayable import is_off, unsayable

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = "tokenizer_config.json"
SPECIAL = "special_tokens_map.json"
ADDED = "added_tokens.json"
TEMPLATE = "chat_template.jinja"
_CLASSES = frozenset(
    {
        "CodeLlamaTokenizer",
        "GPT2Tokenizer",
        "GPTNeoXTokenizer",
        "LlamaTokenizer",
        "PreTrainedTokenizer",
        "Qwen2Tokenizer",
        "TokenizersBackend",
    }
)
"""Those that do nothing with a text beyond what the vocabulary's own file says."""
_DESCRIBES = frozenset(
    {
        "__type",
        "_commit_hash",
        "add_special_tokens",
        "backend",
        "cache_dir",
        "chat_template",
        "clean_up_tokenization_spaces",
        "errors",
        "from_slow",
        "is_local",
        "local_files_only",
        "model_input_names",
        "name_or_path",
        "pad_to_multiple_of",
        "padding",
        "processor_class",
        "response_schema",
        "return_tensors",
        "return_token_type_ids",
        "revision",
        "spaces_between_special_tokens",
        "special_tokens_map_file",
        "stride",
        "suffix_first",
        "tokenizer_file",
        "truncation",
        "trust_remote_code",
        "use_default_system_prompt",
        "use_fast",
        "verbose",
        "vocab_size",
    }
)
_NAMES = re.compile(
    r"\w+_token(_id|_type_id)?|(padding|truncation)_(side|strategy)|(model_)?max_\w*length\w*"
)
"""Pieces for other uses, such as filling up, and limits of the caller's."""


class _NamedTemplate(BaseModel):
    name: str
    template: str


class _Stated(BaseModel):
    """A file of settings, as far as it is used."""

    tokenizer_class: str | None = None
    bos_token: Added | str | None = None
    eos_token: Added | str | None = None
    unk_token: Added | str | None = None
    add_bos_token: bool | None = None
    add_eos_token: bool | None = None
    add_prefix_space: bool | None = None
    legacy: bool | None = None
    chat_template: str | list[_NamedTemplate] | None = None
    added_tokens_decoder: dict[int, Added] = {}
    additional_special_tokens: list[Added | str] | None = None
    extra_special_tokens: list[Added | str] | dict[str, Added | str] | None = None
    model_specific_special_tokens: dict[str, Added | str] | None = None


class _Numbers(BaseModel):
    pieces: dict[str, int]


@dataclass(frozen=True)
class Settings:
    """The settings next to a vocabulary.

    Attributes:
        bos, eos, unknown: texts of the pieces that begin and end a text and represent what is
        unknown; None where nothing names them.
        add_bos: whether a text begins with bos; None where it is left to the vocabulary.
        add_prefix_space: whether a space is put before a text; None where it is not said.
        legacy: whether a space is put behind special pieces as well (transformers before 4.31).
        chat_template: how a conversation is written out, in Jinja.
        added: pieces that are found before merging, by number.
        special: texts of further special pieces, which have no text in a conversation.
    """

    bos: str | None
    eos: str | None
    unknown: str | None
    add_bos: bool | None
    add_prefix_space: bool | None
    legacy: bool | None
    chat_template: str | None
    added: dict[int, Added]
    special: tuple[str, ...]


def read_settings(folder: Path) -> Settings:
    """The settings of a directory; absent files say nothing.

    Raises:
        HerdError: a file is damaged, or says something that the intermediate representation cannot
        express.
    """
    stated, older = _file(folder / SETTINGS), _file(folder / SPECIAL)
    first, second = (stated, older) if stated.added_tokens_decoder else (older, stated)
    special = [*_texts(stated), *_texts(older)]
    named = {
        name: _text(getattr(first, name)) or _text(getattr(second, name)) or None  # "" is none
        for name in ("bos_token", "eos_token", "unk_token")
    }
    special += [text for text in named.values() if text is not None]
    return Settings(
        bos=named["bos_token"],
        eos=named["eos_token"],
        unknown=named["unk_token"],
        add_bos=stated.add_bos_token,
        add_prefix_space=stated.add_prefix_space,
        legacy=stated.legacy,
        chat_template=_template(folder, stated),
        added=_added(folder, stated.added_tokens_decoder, special),
        special=tuple(dict.fromkeys(special)),
    )


def require_plain_piece(added: Added, path: Path) -> None:
    """Refuse a piece that is found otherwise than by its text alone.

    Raises:
        HerdError: with the piece and the flag.
    """
    for flag in ("lstrip", "rstrip", "single_word"):
        if getattr(added, flag):
            raise unsayable(path, f"has the token {added.content!r} with the flag `{flag}`")


def _file(path: Path) -> _Stated:
    if not is_there(path):
        return _Stated()
    content = read_object(path)
    if not is_off(content.get("auto_map")):
        raise HerdError(
            f"{path} names its own program for splitting texts (`auto_map`); only tokenizers "
            "that transformers itself implements are supported."
        )
    known = {*_Stated.model_fields, *_DESCRIBES}
    others = {name: value for name, value in content.items() if not _NAMES.fullmatch(name)}
    require_known(others, known, path)
    stated = as_kind(content, _Stated, path)
    if stated.add_eos_token:
        raise unsayable(path, "adds the end-of-text token to every text (`add_eos_token`)")
    kind = (stated.tokenizer_class or "PreTrainedTokenizer").removesuffix("Fast")
    if kind not in _CLASSES:
        raise unsayable(path, f"has the tokenizer_class `{stated.tokenizer_class}`")
    pieces = [stated.bos_token, stated.eos_token, stated.unk_token]
    for piece in [*pieces, *stated.added_tokens_decoder.values()]:
        if isinstance(piece, Added):
            require_plain_piece(piece, path)
    return stated


def _text(named: Added | str | None) -> str | None:
    return named.content if isinstance(named, Added) else named


def _texts(stated: _Stated) -> list[str]:
    """Texts of the special pieces that are listed."""
    more = stated.extra_special_tokens or []
    listed = [
        *(stated.additional_special_tokens or []),
        *(more.values() if isinstance(more, dict) else more),
        *(stated.model_specific_special_tokens or {}).values(),
    ]
    return [text for text in map(_text, listed) if text is not None]


def _added(folder: Path, decoder: dict[int, Added], special: list[str]) -> dict[int, Added]:
    """The added pieces of `tokenizer_config.json` and those of `added_tokens.json`."""
    path = folder / ADDED
    if not is_there(path):
        return decoder
    numbers = as_kind({"pieces": read_object(path)}, _Numbers, path).pieces
    older = {number: Added(content=t, special=t in special) for t, number in numbers.items()}
    if len(older) != len(numbers):
        raise HerdError(f"{path} gives two tokens the same number.")
    for number in older.keys() & decoder.keys():
        if older[number].content != decoder[number].content:
            raise HerdError(
                f"{path} numbers {older[number].content!r} {number}, which {SETTINGS} calls "
                f"{decoder[number].content!r}."
            )
    return older | decoder


def _template(folder: Path, stated: _Stated) -> str | None:
    """The chat template; of several, the one called `default`."""
    path = folder / TEMPLATE
    if is_there(path):
        try:
            return read_small(path).decode()
        except UnicodeDecodeError as error:
            raise HerdError(f"{path} is not UTF-8 text ({error}).") from None
    if isinstance(stated.chat_template, list):
        named = {entry.name: entry.template for entry in stated.chat_template}
        return named.get("default")
    return stated.chat_template
