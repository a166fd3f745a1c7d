"""Hosts added to a YAML inventory as text, so that all that people wrote stays as they wrote it.

PyYAML reports where each entry is (it only composes: tags such as `!vault` mean nothing to it);
lines are put in there, and no other line is touched. Whether Ansible reads the result as it should
is for the caller to ask.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import yaml

Variables: TypeAlias = Mapping[str, str | int]
Content: TypeAlias = "Mapping[str, Content] | str | int | None"
STEP = 2
_PLAIN = re.compile(r"[A-Za-z0-9_~/][A-Za-z0-9_./~@-]*")


class CannotAddError(Exception):
    """The place for the hosts is written in a way that lines cannot be added to; says which."""


@dataclass(frozen=True)
class _Entry:
    """A key of a mapping, with its value."""

    key: yaml.Node
    value: yaml.Node

    @property
    def is_alias(self) -> bool:
        """Whether the value is defined elsewhere and only named here."""
        return bool(self.value.start_mark.index < self.key.start_mark.index)

    @property
    def is_empty(self) -> bool:
        value = self.value
        return isinstance(value, yaml.ScalarNode) and value.value == "" and not value.style


def add_to_yaml(text: str, group: str, hosts: Mapping[str, Variables]) -> str:
    """The inventory with these hosts at the end of a group, which is made if it is not there.

    Raises:
        CannotAddError: the place cannot be added to.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise CannotAddError(f"it is not readable YAML ({_first_line(error)})") from None
    content: Content = {name: dict(variables) or None for name, variables in hosts.items()}
    if root is None or _Entry(root, root).is_empty:
        return _joined(text, {"all": {"children": {group: {"hosts": content}}}}, len(text), 0, STEP)
    if not isinstance(root, yaml.MappingNode):
        raise CannotAddError("it is not a mapping of groups")
    trail, missing = _where(root, group)
    for name in reversed(missing):
        content = {name: content}
    assert isinstance(content, Mapping)  # noqa: S101 - hosts are a mapping
    for entry in trail:
        if entry.is_alias or _is_braced(entry.value):
            line = entry.key.start_mark.line + 1
            raise CannotAddError(f"`{entry.key.value}` in line {line} is an alias or in braces")
    last = trail[-1] if trail else None
    value = root if last is None else last.value
    if isinstance(value, yaml.MappingNode) and value.value:
        column = value.value[0][0].start_mark.column
        return _joined(text, content, _end(text, _entries(value)[-1], column), column, STEP)
    if last is None or not last.is_empty:
        raise CannotAddError("there is a list or a word where the hosts should be")
    column = last.key.start_mark.column
    place = _after_comments(text, last.value.end_mark.index, column + 1)
    return _joined(text, content, place, column + STEP, STEP)


def _where(root: yaml.MappingNode, group: str) -> tuple[list[_Entry], list[str]]:
    """The entries that lead to the group's hosts as far as they are there, and what is missing."""
    found = next(_groups(root, group), None)
    if found is not None:
        return _down([found], ["hosts"])
    everything = _entry(root, "all")
    if everything is not None:
        return _down([everything], ["children", group, "hosts"])
    return [], [group, "hosts"]


def _down(trail: list[_Entry], names: list[str]) -> tuple[list[_Entry], list[str]]:
    for index, name in enumerate(names):
        entry = _entry(trail[-1].value, name)
        if entry is None:
            return trail, names[index:]
        trail = [*trail, entry]
    return trail, []


def _groups(groups: yaml.Node, name: str) -> Iterator[_Entry]:
    """Every place where the group is written; places that name its hosts first."""
    places = sorted(_places(groups, name), key=lambda place: _entry(place.value, "hosts") is None)
    yield from places


def _places(groups: yaml.Node, name: str) -> Iterator[_Entry]:
    for entry in _entries(groups):
        if entry.key.value == name:
            yield entry
        children = None if entry.is_alias else _entry(entry.value, "children")
        if children is not None and not children.is_alias:
            yield from _places(children.value, name)


def _entries(node: yaml.Node) -> list[_Entry]:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return [_Entry(key, value) for key, value in pairs if isinstance(key, yaml.ScalarNode)]


def _entry(node: yaml.Node, name: str) -> _Entry | None:
    return next((entry for entry in _entries(node) if entry.key.value == name), None)


def _is_braced(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and bool(node.flow_style)


def _end(text: str, entry: _Entry, column: int) -> int:
    """Where the line after an entry begins, with the comments that belong to it."""
    while not entry.is_alias and not _is_braced(entry.value):
        inner = _entries(entry.value)
        if not inner and isinstance(entry.value, yaml.SequenceNode) and entry.value.value:
            inner = [_Entry(entry.key, entry.value.value[-1])]
        if not inner:
            break
        entry = inner[-1]
    node = entry.key if entry.is_alias else entry.value
    place = node.end_mark.index
    if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}:
        place = len(text[:place].rstrip())  # its end mark stands after the blank lines below
    return _after_comments(text, place, column)


def _after_comments(text: str, place: int, column: int) -> int:
    """The beginning of the next line that is no comment as far in as the entry."""
    place = _next_line(text, place)
    while place < len(text):
        following = _next_line(text, place)
        line = text[place:following]
        begins = line.lstrip(" ")
        if not begins.startswith("#") or len(line) - len(begins) < max(column, 1):
            break
        place = following
    return place


def _next_line(text: str, place: int) -> int:
    feed = text.find("\n", place)
    return len(text) if feed < 0 else feed + 1


def _joined(text: str, content: Mapping[str, Content], place: int, column: int, step: int) -> str:
    """The text with the content put in."""
    feed = "\r\n" if "\r\n" in text else "\n"
    before, after = text[:place], text[place:]
    if before and not before.endswith("\n"):
        before += feed
    return before + "".join(f"{line}{feed}" for line in _lines(content, column, step)) + after


def _lines(content: Mapping[str, Content], column: int, step: int) -> Iterator[str]:
    for key, value in content.items():
        begins = f"{' ' * column}{_scalar(key)}:"
        if isinstance(value, Mapping):
            yield begins
            yield from _lines(value, column + step, step)
        else:
            yield begins if value is None else f"{begins} {_scalar(value)}"


def _scalar(value: str | int) -> str:
    """A value as YAML has it: quoted wherever YAML would take it for something else."""
    if isinstance(value, int):
        return str(value)
    if _PLAIN.fullmatch(value) and value != "~" and yaml.safe_load(value) == value:
        return value
    return json.dumps(value)


def is_mapping(text: str) -> bool:
    """Whether it is an inventory in YAML; of INI, not even one host or section reads as such."""
    try:
        return isinstance(yaml.compose(text, Loader=yaml.SafeLoader), yaml.MappingNode)
    except yaml.YAMLError:
        return False


def _first_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return f"{where}{getattr(error, 'problem', None) or 'damaged'}"
