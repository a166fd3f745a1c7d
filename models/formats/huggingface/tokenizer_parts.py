"""Which parts of a `tokenizer.json` are understood; all others are refused by their names.

A file of Hugging Face's `tokenizers` library spells out what is done with a text: it is normalised,
cut, merged, put into a template, and later decoded. Source: huggingface/tokenizers, the types that
each kind of part has; huggingface/transformers, `convert_slow_tokenizer.py` (LlamaConverter).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import HerdError
from models.formats.huggingface.pre_tokenizers import Component, components, way_of_cutting
from models.formats.unsayable import unsayable
from models.tokenizer import SPACE

if TYPE_CHECKING:
    from pathlib import Path

    from models.tokenizer import Spacing

_SPACES_MARKED = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_SPACE_FIRST = {"type": "Prepend", "prepend": SPACE}
_SENTENCEPIECE_DECODERS: tuple[Component, ...] = (
    {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
)
_SPACE_TAKEN_BACK = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
_LONGEST_SETTING = 39
"""Characters of a setting that a message names."""


@dataclass(frozen=True)
class Parts:
    """The parts of a `tokenizer.json` around its pieces and merges.

    Attributes:
        normalizer: what is done with a text first.
        pre_tokenizer: how it is then cut.
        post_processor: what is put around its ids.
        decoder: how ids become a text.
    """

    normalizer: Component | None
    pre_tokenizer: Component | None
    post_processor: Component | None
    decoder: Component | None

    @property
    def byte_level(self) -> bool:
        """Whether pieces spell bytes."""
        return any(part.get("type") == "ByteLevel" for part in components(self.pre_tokenizer))


def byte_level_way(parts: Parts, path: Path, *, whole_words_first: bool) -> str | None:
    """How a byte-level vocabulary cuts a text, in GGUF's words; None for a way not known.

    Raises:
        HerdError: the text is changed before, or decoded in another way.
    """
    composed = False
    for part in components(parts.normalizer):
        if part != {"type": "NFC"}:
            raise _changed(path, "normalizer", part)
        composed = True
    for part in components(parts.pre_tokenizer):
        if part.get("type") == "ByteLevel" and part.get("add_prefix_space", True) is not False:
            raise unsayable(path, "puts a space before every text (`ByteLevel.add_prefix_space`)")
    for part in components(parts.decoder):
        if part.get("type") != "ByteLevel":
            raise _changed(path, "decoder", part)
    return way_of_cutting(
        parts.pre_tokenizer, composed=composed, whole_words_first=whole_words_first
    )


def sentencepiece_spacing(parts: Parts, path: Path, *, spans_words: bool) -> Spacing:
    """Where a sentencepiece-like vocabulary puts a space that the text has not.

    Args:
        parts: of the file.
        path: the file, for messages.
        spans_words: a piece has a space behind its beginning, so that it matters whether a text is
            cut at spaces before it is merged.

    Raises:
        HerdError: the text is changed, cut or decoded otherwise than sentencepiece does it.
    """
    decoders = list(components(parts.decoder))
    for part in decoders:
        if part not in (*_SENTENCEPIECE_DECODERS, _SPACE_TAKEN_BACK):
            raise _changed(path, "decoder", part)
    stated = tuple(part for part in decoders if part != _SPACE_TAKEN_BACK)
    if parts.decoder is not None and stated != _SENTENCEPIECE_DECODERS:
        called = ", ".join(str(part.get("type")) for part in decoders) or "nothing"
        raise unsayable(
            path, f"decodes by {called}; it must be Replace, ByteFallback, Fuse and Strip"
        )
    first = list(components(parts.normalizer))
    cuts = list(components(parts.pre_tokenizer))
    if not first and len(cuts) == 1 and cuts[0].get("type") == "Metaspace":
        return _metaspace(cuts[0], path, spans_words=spans_words)
    if cuts:
        raise _changed(path, "pre_tokenizer", cuts[0])
    wrong = [part for part in first if part not in (_SPACE_FIRST, _SPACES_MARKED)]
    if wrong:
        raise _changed(path, "normalizer", wrong[0])
    if first == [_SPACE_FIRST, _SPACES_MARKED]:
        return "always"
    if first == [_SPACES_MARKED]:
        return "never"
    raise HerdError(
        f"{path} does not mark the spaces of a text as its tokens do; it needs the normalizers "
        "Prepend and Replace, or the pre_tokenizer Metaspace."
    )


def _metaspace(part: Component, path: Path, *, spans_words: bool) -> Spacing:
    if part.get("replacement") != SPACE:
        raise _changed(path, "pre_tokenizer", part)
    if spans_words and part.get("split", True):
        raise unsayable(path, "splits a text at every space before it merges (`Metaspace.split`)")
    usual = "always" if part.get("add_prefix_space", True) else "never"
    scheme = part.get("prepend_scheme", usual)
    if scheme == "first":
        return "first"
    if scheme in {"always", "never"}:
        return "always" if scheme == "always" else "never"
    raise _changed(path, "pre_tokenizer", part)


def first_piece(parts: Parts, path: Path) -> tuple[str, int | None] | None:
    """The special piece that is put before every text, and its number if the file gives it.

    Raises:
        HerdError: something else is put around a text.
    """
    found: tuple[str, int | None] | None = None
    for part in components(parts.post_processor):
        if part.get("type") == "ByteLevel":  # it only counts letters
            continue
        if part.get("type") != "TemplateProcessing":
            raise _changed(path, "post_processor", part)
        single = part.get("single")
        listed = single if isinstance(single, list) else [single]
        steps: list[Component] = [step if isinstance(step, dict) else {} for step in listed]
        shapes = [next(iter(step), "") for step in steps]
        if shapes == ["Sequence"]:
            continue
        if shapes != ["SpecialToken", "Sequence"] or found is not None:
            raise _changed(path, "post_processor", part)
        found = _special(steps[0], part, path)
    return found


def _special(step: Component, part: Component, path: Path) -> tuple[str, int | None]:
    inner = step["SpecialToken"]
    text = str(inner.get("id")) if isinstance(inner, dict) else ""
    table = part.get("special_tokens")
    entry = table.get(text) if isinstance(table, dict) else None
    ids = entry.get("ids") if isinstance(entry, dict) else None
    if ids is not None and not (isinstance(ids, list) and list(map(type, ids)) == [int]):
        raise unsayable(path, f"puts the tokens {ids} before every text (`post_processor`)")
    return text, ids[0] if ids else None


def _changed(path: Path, place: str, part: Component) -> HerdError:
    settings = ", ".join(
        f"{name} {value!r}"
        for name, value in part.items()
        if name != "type"
        and isinstance(value, str | int | float | dict)
        and len(str(value)) <= _LONGEST_SETTING
    )
    what = f"{part.get('type')} ({settings})" if settings else f"{part.get('type')}"
    return unsayable(path, f"has the {place} {what}")
