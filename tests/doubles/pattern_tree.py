"""The patterns of a package, and what of a pattern may take more than linear time.

A run without end costs a square where a search can begin in its middle, or where it can give back
what the next part takes. `without_end` finds those; `attacks` makes texts on which it would show.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

ALPHABET = frozenset(chr(code) for code in range(256)) | frozenset("가답🔶🔷🚨💡\u2028")
REPEATS = (constants.MAX_REPEAT, constants.MIN_REPEAT)
LOOKS = (constants.ASSERT, constants.ASSERT_NOT)
CATEGORIES = {
    constants.CATEGORY_DIGIT: r"\d", constants.CATEGORY_NOT_DIGIT: r"\D",
    constants.CATEGORY_SPACE: r"\s", constants.CATEGORY_NOT_SPACE: r"\S",
    constants.CATEGORY_WORD: r"\w", constants.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip
Part = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A pattern and where it stands."""

    place: str
    pattern: re.Pattern[Any]


def patterns_of(package: str) -> list[Found]:
    """Every pattern of a package: compiled ones anywhere in its modules, and written-out ones."""
    found: dict[tuple[Any, int], Found] = {}
    top = importlib.import_module(package)
    names = [package, *(m.name for m in pkgutil.walk_packages(top.__path__, f"{package}."))]
    for name in names:
        module = importlib.import_module(name)
        for pattern in (*_held(vars(module), 3), *_written(module)):
            found.setdefault((pattern.pattern, pattern.flags), Found(name, pattern))
    return list(found.values())


def _held(value: object, depth: int) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict) and depth:
        for name, one in value.items():
            if not str(name).startswith("__"):
                yield from _held(one, depth - 1)
    elif isinstance(value, tuple | list | set | frozenset) and depth:
        for one in value:
            yield from _held(one, depth - 1)
    elif isinstance(value, type) and depth:
        yield from _held(dict(vars(value)), depth - 1)


def _written(module: ModuleType) -> Iterator[re.Pattern[Any]]:
    """Patterns that stand as texts in calls of `re`."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re"):
            continue
        if node.args and isinstance(node.args[0], ast.Constant):
            yield re.compile(node.args[0].value)


def without_end(pattern: re.Pattern[Any]) -> list[str]:
    """What may take the square of a text's length, a few words each; empty for nothing."""
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    flags = tree.state.flags
    return list(_looked_through(list(tree), None, [], flags))


def _looked_through(
    parts: Sequence[Part], before: Part | None, after: Sequence[Part], flags: int
) -> Iterator[str]:
    for index, (kind, value) in enumerate(parts):
        rest = [*parts[index + 1 :], *after]
        if kind in REPEATS:
            _, most, body = value
            if most == constants.MAXREPEAT:
                yield from _run(list(body), before, rest, flags)
            else:
                yield from _looked_through(list(body), before, rest, flags)
        elif kind is constants.SUBPATTERN:
            yield from _looked_through(list(value[3]), before, rest, value[1] | flags)
        elif kind is constants.BRANCH:
            for branch in value[1]:
                yield from _looked_through(list(branch), before, rest, flags)
        elif kind in LOOKS:
            yield from _looked_through(list(value[1]), before, [], flags)
        if kind not in LOOKS:
            before = (kind, value)


def _run(
    body: Sequence[Part], before: Part | None, rest: Sequence[Part], flags: int
) -> Iterator[str]:
    taken = _taken(body[0], flags) if len(body) == 1 else None
    if taken is None:
        yield "a group is repeated without end"
        return
    if _cannot_fail(rest):
        return
    follows = _first(rest, flags)
    if follows is None or taken & follows:
        yield "a run without end can give back what follows it"
    stands_before = (before and _taken(before, flags)) or taken
    if not (before and _is_begin(before)) and taken & stands_before:
        yield "a search can begin in the middle of a run without end"


def _is_begin(part: Part) -> bool:
    return part[0] is constants.AT and part[1] is constants.AT_BEGINNING_STRING


def _cannot_fail(rest: Sequence[Part]) -> bool:
    """Whether what follows always matches in the end: nothing, or among others the text's end."""
    if not rest:
        return True
    kind, value = rest[0]
    if kind is constants.SUBPATTERN:
        return _cannot_fail([*value[3], *rest[1:]])
    if kind is constants.BRANCH:
        return any(list(one) == [(constants.AT, constants.AT_END_STRING)] for one in value[1])
    return False


def _taken(part: Part, flags: int) -> frozenset[str] | None:
    """The characters that a part takes one of; None where it is no such part."""
    kind, value = part
    if kind is constants.LITERAL:
        return _cased({chr(value)}, flags)
    if kind is constants.NOT_LITERAL:
        return ALPHABET - _cased({chr(value)}, flags)
    if kind is constants.ANY:
        return ALPHABET if flags & re.DOTALL else ALPHABET - {"\n"}
    if kind is constants.IN:
        return _of_class(value, flags)
    if kind is constants.SUBPATTERN and len(value[3]) == 1:
        return _taken(value[3][0], flags)
    return None


def _of_class(value: Sequence[Part], flags: int) -> frozenset[str]:
    found: set[str] = set()
    for kind, what in value:
        if kind is constants.LITERAL:
            found |= _cased({chr(what)}, flags)
        elif kind is constants.RANGE:
            found |= _cased({c for c in ALPHABET if what[0] <= ord(c) <= what[1]}, flags)
        elif kind is constants.CATEGORY:
            found |= {c for c in ALPHABET if re.match(CATEGORIES[what], c)}
    is_negated = value[0][0] is constants.NEGATE
    return ALPHABET - found if is_negated else frozenset(found)


def _cased(found: set[str], flags: int) -> frozenset[str]:
    if not flags & re.IGNORECASE:
        return frozenset(found)
    return frozenset({c.lower() for c in found} | {c.upper() for c in found})


def _first(rest: Sequence[Part], flags: int) -> frozenset[str] | None:
    """The characters with which what follows can begin; None where that is not known."""
    if not rest:
        return frozenset()
    (kind, value), *others = rest
    if kind is constants.SUBPATTERN:
        ways = [[*value[3], *others]]
    elif kind is constants.BRANCH:
        ways = [[*one, *others] for one in value[1]]
    elif kind in REPEATS:
        ways = [list(value[2]), *([] if value[0] else [others])]
    else:
        return _taken((kind, value), flags)
    firsts = [_first(way, flags) for way in ways]
    known = [first for first in firsts if first is not None]
    return frozenset[str]().union(*known) if len(known) == len(firsts) else None


def attacks(pattern: re.Pattern[Any], size: int) -> Iterator[Any]:
    """Texts of that length that hold what its runs take, over and over, and end otherwise."""
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    made: set[str] = set()
    for before, run in _prefixes(list(tree), "", tree.state.flags):
        for unit in (before + run, before, before + run * 40, before + run * 400):
            if unit:
                made.add((unit * (size // len(unit) + 1))[:size])
        if run:
            made.add((before + run * size)[:size])
    for text in sorted(made):
        whole = f"{text}\0!"
        if isinstance(pattern.pattern, bytes):
            yield whole.encode("latin-1", "replace")
        else:
            yield whole


def _prefixes(parts: Sequence[Part], before: str, flags: int) -> Iterator[tuple[str, str]]:
    """What stands before each run, and a character that it takes."""
    for kind, value in parts:
        if kind in REPEATS:
            least, most, body = value
            taken = _taken(body[0], flags) if len(body) == 1 else None
            if taken and most > 8:
                yield before, _one_of(taken)
            else:
                yield from _prefixes(list(body), before, flags)
            before += _sample(list(body), flags) * max(least, 1)
            continue
        if kind is constants.SUBPATTERN:
            yield from _prefixes(list(value[3]), before, flags)
        elif kind is constants.BRANCH:
            for one in value[1]:
                yield from _prefixes(list(one), before, flags)
        before += _sample([(kind, value)], flags)
    yield before, ""


def _sample(parts: Sequence[Part], flags: int) -> str:
    """A text that the parts match, but for what looks ahead or behind."""
    text = ""
    for kind, value in parts:
        if kind in REPEATS:
            text += _sample(list(value[2]), flags) * max(value[0], 1)
        elif kind is constants.SUBPATTERN:
            text += _sample(list(value[3]), flags)
        elif kind is constants.BRANCH:
            text += _sample(list(value[1][0]), flags)
        elif taken := _taken((kind, value), flags):
            text += _one_of(taken)
    return text


def _one_of(taken: frozenset[str]) -> str:
    return next((c for c in "a1 .x" if c in taken), min(taken))
