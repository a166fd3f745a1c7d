"""Keep the catalogues in step with the program: `python -m core.language.extract`.

It reads the source of what makes pages, adds each new text to the `.po` file of its room, keeps
what is translated, and removes what the program no longer says.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from core.language.catalogue import FOLDER, has_words
from core.language.choice import ENGLISH, LANGUAGES
from core.paths import PROJECT_FOLDER

ROOMS = "analysis"
"""Package that makes the pages: a `.po` file for each of its rooms."""
UNREAD = frozenset(
    {"analysis/answers/export.py", "analysis/charts/make_fonts.py", "analysis/charts/page_font.py"}
)
"""Modules of it whose texts reach no page."""
UNREAD_ROOMS = ("analysis/paper/",)
"""Rooms of it that write English alone: papers."""
NOT_SAID = frozenset(
    {"outside upper left", "upper left", "offset points", "figure fraction", "axes fraction"}
    | {"DejaVu Sans", "Herd Hangul", "Date", "Title", " node", "Glyph .* missing from font"}
)
"""Texts of modules that Matplotlib reads and no one else."""
BY_HAND = frozenset({"words", "records"})
"""Files whose entries are found by looking at pages, and that nothing removes."""
COMPOSED = frozenset({"plural", "say_number", "say_of"})
"""Functions that make the text of a catalogue from their arguments."""
_LOOKS_LIKE_PROSE = re.compile(
    r"[A-Za-z]{2,}('s)?[,.:;]? |[ /][a-z]{3,}|^[A-Z][a-z]+[a-z-]*[.:]?$|^[a-z]+:$"
    r"|\{\w+(:[^}]*)?\}.*[a-z]{2,}"
)
_IS_CODE = re.compile(r"^[a-z0-9_]+$|^\S+\.\w{1,4}$|^<|\\[a-z(\[]|^[A-Z]+$|_\{|\}_|^--|^\w+\[")
_NO_TEXT = frozenset({"getLogger", "compile", "TypeVar", "namedtuple"})


@dataclass(slots=True)
class Extracted:
    """Texts of the program.

    Attributes:
        texts: text to its plural, None for one without, and to the places that say it.
    """

    plurals: dict[str, str | None] = field(default_factory=dict)
    places: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    def add(self, text: str, place: tuple[str, int], several: str | None = None) -> None:
        """Add a text, once for all places that say it."""
        self.plurals[text] = self.plurals.get(text) or several
        self.places.setdefault(text, []).append(place)


def texts_of(source: str, name: str, found: Extracted) -> None:
    """Find the texts of a module: templates, titles, heads of tables, labels.

    Args:
        source: of the module.
        name: of its file, for the catalogue.
        found: gets the texts.
    """
    tree = ast.parse(source)
    silent = set(_silent(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (maker := _called(node)) in COMPOSED:
            _add_composed(node, maker, name, found)
        if not isinstance(node, ast.Constant) or id(node) in silent:
            continue
        if isinstance(node.value, str) and _is_said(node.value):
            found.add(node.value, (name, node.lineno))


def _is_said(text: str) -> bool:
    """Whether a constant looks like something that people read."""
    if text in NOT_SAID or _IS_CODE.search(text) or not _LOOKS_LIKE_PROSE.search(text):
        return False
    return has_words(_safe(text))


def _safe(text: str) -> str:
    """The text, if it is one that `str.format` reads; else nothing."""
    try:
        text.format_map(_Anything())
    except (ValueError, IndexError, AttributeError, TypeError):
        return "" if "{" in text else text
    return text


class _Anything(dict[str, object]):
    def __missing__(self, key: str) -> object:
        return 1


def _called(node: ast.Call) -> str:
    function = node.func
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _add_composed(node: ast.Call, maker: str, name: str, found: Extracted) -> None:
    for thing in _literals(node.args[1]) if len(node.args) > 1 else ():
        place = (name, node.lineno)
        if maker == "say_of":
            found.add(f"{next(_literals(node.args[0]))} ({thing})", place)
        elif maker == "plural":
            found.add(f"{{n}} {thing}", place, f"{{n}} {thing}s")
        else:
            (several,) = _literals(node.args[2])
            found.add(thing, place, several)


def _literals(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    if isinstance(node, ast.IfExp):
        yield from (*_literals(node.body), *_literals(node.orelse))


def _silent(tree: ast.AST) -> Iterator[int]:
    """Ids of the constants that reach no page: docstrings, errors, parts of f-strings, counted."""
    for node in ast.walk(tree):
        parts: list[ast.AST] = []
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            parts = [node.value]
        elif isinstance(node, ast.Raise | ast.JoinedStr | ast.Subscript):
            parts = [node]
        elif isinstance(node, ast.Call):
            called = _called(node)
            if called.endswith("Error") or called in _NO_TEXT:
                parts = [node]
            elif called in COMPOSED:
                parts = list(node.args[:3])
        yield from (id(inner) for part in parts for inner in ast.walk(part))


def extracted() -> dict[str, Extracted]:
    """Return the texts of each room, each text in the first room that says it."""
    rooms: dict[str, Extracted] = {}
    seen: set[str] = set()
    for path in sorted((PROJECT_FOLDER / ROOMS).rglob("*.py")):
        name = path.relative_to(PROJECT_FOLDER).as_posix()
        if name in UNREAD or name.startswith(UNREAD_ROOMS):
            continue
        inside = path.relative_to(PROJECT_FOLDER / ROOMS).parts
        own = Extracted()
        texts_of(path.read_text(encoding="utf-8"), name, own)
        if not own.places:
            continue
        room = rooms.setdefault(inside[0] if len(inside) > 1 else "pages", Extracted())
        for text, places in own.places.items():
            if text not in seen or text in room.plurals:
                for place in places:
                    room.add(text, place, own.plurals[text])
        seen |= own.plurals.keys()
    return rooms


def updated(room: Extracted, old: Catalog, known: dict[str, str]) -> Catalog:
    """Return the catalogue of a room with its texts as they are now.

    Args:
        room: its texts.
        old: its catalogue so far.
        known: what other files have for a text that has moved between rooms.
    """
    made = Catalog(locale=old.locale, fuzzy=False, header_comment=HEADER)
    for text in sorted(room.places, key=lambda one: room.places[one][0]):
        several = room.plurals[text]
        before = old.get(text)
        told = _first(before.string) if before is not None else known.get(text, "")
        places = [(file, 0) for file in dict.fromkeys(file for file, _ in room.places[text])]
        notes = list(before.user_comments) if before is not None else []
        message, string = ((text, several), (told,)) if several else (text, told)
        made.add(message, string, locations=places, user_comments=notes)
    return made


HEADER = "# Korean texts of llama-herd. docs/languages.md says how to add or mend one."


def read(path: Path, code: str) -> Catalog:
    """Read a `.po` file; one that does not exist is empty."""
    if not path.exists():
        return Catalog(locale=code)
    with path.open("rb") as file:
        return read_po(file, locale=code, abort_invalid=True)


def write_catalogue(path: Path, made: Catalog) -> None:
    """Write a `.po` file without what changes from day to day."""
    with path.open("wb") as file:
        write_po(file, made, width=100, omit_header=True, include_lineno=False)
    text = path.read_text(encoding="utf-8")
    head = f'{HEADER}\nmsgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'
    plurals = '"Plural-Forms: nplurals=1; plural=0;\\n"\n\n'
    path.write_text(f"{head}{plurals}{text.strip()}\n", encoding="utf-8")


def main() -> int:
    """Bring the `.po` files of every language in step with the program, and print what is open."""
    rooms = extracted()
    for code in LANGUAGES:
        if code == ENGLISH:
            continue
        folder = FOLDER / code
        old = {path.stem: read(path, code) for path in sorted(folder.glob("*.po"))}
        known = {_first(m.id): _first(m.string) for one in old.values() for m in one if m.string}
        for name in old.keys() - rooms.keys() - BY_HAND:
            (folder / f"{name}.po").unlink()
        for name, room in rooms.items():
            made = updated(room, old.get(name, Catalog(locale=code)), known)
            write_catalogue(folder / f"{name}.po", made)
            left = sum(not _first(message.string) for message in made if message.id)
            sys.stdout.write(f"{code} {name}: {len(made)} texts, {left} open\n")
    return 0


def _first(text: object) -> str:
    return str(text[0]) if isinstance(text, tuple | list) else str(text)


if __name__ == "__main__":
    sys.exit(main())
