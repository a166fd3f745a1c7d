"""How byte-level vocabularies cut a text into words before they merge.

GGUF names a way of cutting (`tokenizer.ggml.pre`), Hugging Face's `tokenizer.json` spells it out in
parts of the `tokenizers` library. Source of the names: ggml-org/llama.cpp, `src/llama-vocab.cpp`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenizers import Regex, pre_tokenizers

if TYPE_CHECKING:
    from collections.abc import Iterator

Component = dict[str, object]
_Part = tuple[str, object]
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_WAYS: dict[str, tuple[_Part, ...]] = {
    "gpt-2": (("ByteLevel", True),),
    "smollm": (("Digits", True), ("ByteLevel", True)),
    "llama-bpe": (("Split", _WORDS.format(digits=r"\p{N}{1,3}")), ("ByteLevel", False)),
    "qwen2": (("Split", _WORDS.format(digits=r"\p{N}")), ("ByteLevel", False)),
}
WHOLE_WORDS_FIRST = frozenset({"llama-bpe"})
"""Ways with which a word that is a piece is taken whole, regardless of the merges."""
COMPOSED_FIRST = frozenset({"qwen2"})
"""Ways before which a text's characters are composed (Unicode NFC)."""
KNOWN_WAYS = tuple(_WAYS)


def way_of_cutting(
    pre_tokenizer: Component | None, *, composed: bool, whole_words_first: bool
) -> str | None:
    """GGUF's name for a `pre_tokenizer` of `tokenizer.json`, None if it is no known one.

    Args:
        pre_tokenizer: the part of the file.
        composed: the file composes characters before (NFC).
        whole_words_first: the file takes a word that is a piece whole (`ignore_merges`).
    """
    parts = tuple(map(_part, components(pre_tokenizer)))
    name = next((name for name, known in _WAYS.items() if known == parts), None)
    stated = (composed, whole_words_first)
    return name if stated == (name in COMPOSED_FIRST, name in WHOLE_WORDS_FIRST) else None


def pre_tokenizer_of(way: str) -> pre_tokenizers.PreTokenizer:
    """The library's pre-tokeniser for one of `KNOWN_WAYS`."""
    built: list[pre_tokenizers.PreTokenizer] = []
    for kind, value in _WAYS[way]:
        if kind == "Split":
            built.append(pre_tokenizers.Split(Regex(str(value)), "isolated"))
        elif kind == "Digits":
            built.append(pre_tokenizers.Digits(individual_digits=bool(value)))
        else:
            built.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=bool(value)))
    return pre_tokenizers.Sequence(built)


def components(node: object) -> Iterator[Component]:
    """The parts of a normaliser, pre-tokeniser or post-processor, sequences laid open."""
    if not isinstance(node, dict):
        return
    for name in ("normalizers", "pretokenizers", "processors", "decoders"):
        if isinstance(node.get(name), list):
            for part in node[name]:
                yield from components(part)
            return
    yield node


def _part(component: Component) -> _Part:
    kind = str(component.get("type"))
    if kind == "ByteLevel":
        return kind, component.get("use_regex", True)
    if kind == "Digits":
        return kind, component.get("individual_digits")
    pattern = component.get("pattern")
    isolates = (component.get("behavior"), component.get("invert", False)) == ("Isolated", False)
    return kind, pattern.get("Regex") if isinstance(pattern, dict) and isolates else None
