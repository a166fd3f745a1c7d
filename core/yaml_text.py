"""Read YAML from any author, once and within bounds.

A few lines of YAML can mean billions of values (aliases of aliases), a number for hours of
reckoning, a bracket repeated for the end of the stack. No matter what a file holds, reading it ends
at once: in values, or in a sentence with the line.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from yaml.constructor import ConstructorError
from yaml.reader import Reader

from core.foreign import one_line

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 8 << 20
"""Of a file, and of its text with every alias written out. The longest of ours has 40 KiB."""
MOST_NODES = 100_000
"""Values with every alias written out."""
MOST_DEPTH = 50
"""Lists and mappings inside each other."""
LONGEST_VALUE = 100
"""Characters of a number, a date or any other value that is not text."""
LARGEST_WHOLE = 2**63
_ODD_NUMBER = re.compile(r"[-+]?0[0-9_]+|[-+]?0[bx].*|.*:.*")
"""Octal (`010` is 8), of base 60 (`1:30` is 90), binary and hexadecimal (`0x1`, where a person
may mean none times one)."""
_PREFIX = "tag:yaml.org,2002:"
_TEXT_TAG = f"{_PREFIX}str"
_TRUTH_TAG = f"{_PREFIX}bool"
_RARE_TAGS = {f"{_PREFIX}{name}" for name in ("binary", "omap", "pairs", "set")}
"""PyYAML makes of them what no file of ours has."""
_UNREADABLE = (ValueError, ArithmeticError, LookupError, AttributeError, TypeError)
"""What PyYAML raises for a value that is not what its tag says, such as `!!int x`."""

# libyaml is ten times as fast; PyYAML can be installed without it.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlTextError(Exception):
    """What is wrong, as half a sentence, and where.

    Attributes:
        line: from 1.
    """

    def __init__(self, line: int, wrong: str) -> None:
        super().__init__(wrong)
        self.line = line


@dataclass(slots=True)
class _Size:
    """A value with every alias in it written out; its height is 0 for a text or a number."""

    nodes: int = 1
    characters: int = 0
    height: int = 0
    anchor: str | None = None

    def take(self, inner: _Size) -> None:
        """Put another value into this one."""
        self.nodes += inner.nodes
        self.characters += inner.characters
        self.height = max(self.height, inner.height + 1)


class _Loader(_Base):  # type: ignore[misc] # PyYAML has no types
    """PyYAML's safe loader, for values that can be reckoned with."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - the base's
        is_text = node.tag == _TEXT_TAG
        if isinstance(node, yaml.ScalarNode) and not is_text and len(node.value) > LONGEST_VALUE:
            raise _unfit(node, f"has {len(node.value)} characters, too many for a number or date")
        if node.tag in _RARE_TAGS:
            raise _unfit(node, f"has the tag !!{node.tag.removeprefix(_PREFIX)}: write it plainly")
        try:
            value = super().construct_object(node, deep)
        except _UNREADABLE:
            raise _unfit(node, f"is not a valid {node.tag.removeprefix(_PREFIX)}") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise _unfit(node, "is not a finite number")
        if isinstance(value, int) and not -LARGEST_WHOLE <= value < LARGEST_WHOLE:
            raise _unfit(node, "is too large a number")
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and _ODD_NUMBER.fullmatch(node.value)
        ):
            right = "write that number, or quotes around it"
            raise _unfit(node, f"is read as {value}, which is rarely intended: {right}")
        return value


def read_yaml(path: Path) -> tuple[yaml.Node | None, Any]:
    """The nodes of a file, with their lines, and the values that they represent.

    Raises:
        OSError: it cannot be read.
        YamlTextError: it is not YAML, says something twice, or is larger than any file that a
        person writes.
    """
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise YamlTextError(1, f"it is larger than {MOST_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlTextError(line, "this is not UTF-8 text") from None
    unprintable = Reader.NON_PRINTABLE.search(text)
    if unprintable:
        line = text.count("\n", 0, unprintable.start()) + 1
        raise YamlTextError(line, f"a text file cannot contain the character {unprintable[0]!r}")
    try:
        _measure(text)
        return _values(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        wrong = f"this is not valid YAML: {one_line(str(error.problem), 200)}"
        raise YamlTextError(mark.line + 1 if mark else 1, wrong) from None
    except yaml.YAMLError as error:
        raise YamlTextError(1, f"this is not valid YAML: {one_line(str(error), 200)}") from None


def _values(text: str) -> tuple[yaml.Node | None, Any]:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        _keep_words_as_keys(root)
        _refuse_repeated_keys(root)  # before merge keys are written out, which may repeat others
        return root, None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _measure(text: str) -> None:
    """Check how much the text expands to before anything is built from it.

    Raises:
        YamlTextError: it is too much, or an alias is inside its own anchor.
        yaml.YAMLError: it is not YAML.
    """
    anchors: dict[str, _Size | None] = {}  # None while what the anchor names is still open
    whole = _Size()
    open_: list[_Size] = [whole]
    for event in yaml.parse(text, Loader=_Base):
        mark = event.start_mark
        line = mark.line + 1 if mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append(_Size(height=1, anchor=event.anchor))
            if event.anchor:
                anchors[event.anchor] = None
            _refuse_beyond(line, whole, depth=len(open_) - 1)
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            size = open_.pop()
            if size.anchor:
                anchors[size.anchor] = size
        elif isinstance(event, yaml.ScalarEvent):
            size = _Size(characters=len(event.value))
            if event.anchor:
                anchors[event.anchor] = size
        elif isinstance(event, yaml.AliasEvent):
            name = str(event.anchor)
            named = anchors.get(name, _Size())  # an unknown one is told when nodes are made
            if named is None:
                raise YamlTextError(line, f"`*{one_line(name, 40)}` refers to itself")
            size = named
        else:
            continue
        open_[-1].take(size)
        _refuse_beyond(line, open_[-1], depth=len(open_) - 1 + size.height)


def _refuse_beyond(line: int, size: _Size, depth: int) -> None:
    if size.nodes > MOST_NODES or size.characters > MOST_BYTES:
        raise YamlTextError(
            line,
            f"with its aliases expanded, this is more than {MOST_NODES} values or "
            f"{MOST_BYTES >> 20} MiB",
        )
    if depth > MOST_DEPTH:
        raise YamlTextError(
            line, f"lists or mappings are nested more than {MOST_DEPTH} levels deep"
        )


def _keep_words_as_keys(node: yaml.Node | None) -> None:
    """Let `on`, `off`, `yes` and `no` be keys: YAML 1.1 reads true and false there, 1.2 words."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _keep_words_as_keys(item)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag == _TRUTH_TAG:
                key.tag = _TEXT_TAG
            _keep_words_as_keys(value)


def _refuse_repeated_keys(node: yaml.Node | None) -> None:
    """YAML silently keeps the last of two equal keys; a user hardly ever means that."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(item)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise YamlTextError(line, "a key must be one word, not a list or a mapping")
        if key.value in seen:
            raise YamlTextError(
                line,
                f"the key `{one_line(key.value, 80)}` appears twice (first on line "
                f"{seen[key.value]}). Keep one of the two",
            )
        seen[key.value] = line
        _refuse_repeated_keys(value)


def _unfit(node: yaml.Node, why: str) -> ConstructorError:
    shown = f"`{one_line(str(node.value), 40)}` " if isinstance(node, yaml.ScalarNode) else "this "
    return ConstructorError(None, None, f"{shown}{why}", node.start_mark)
