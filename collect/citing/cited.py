"""Which works the texts of a study cite: Markdown as pandoc reads it, LaTeX as BibTeX and BibLaTeX.

What is a comment or code does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

TEXTS = (".md", ".tex")
LARGEST_TEXT = 1 << 24
MOST_TEXTS = 10_000
MOST_ARGUMENTS = 100
"""Of one command: `\\cites` of BibLaTeX takes a list for each work."""
_COMMAND = re.compile(r"\\([A-Za-z]{0,20}[Cc]ite[A-Za-z]{0,20})\*?")
_NO_KEYS = re.compile(r"\\(?:[A-Za-z]{0,20}[Cc]itestyle|setcite[A-Za-z]{0,20}|citereset)\b")
_COMMENT = re.compile(r"(?<!\\)((?:\\\\){0,20})%.{0,100000}")
_CODE = re.compile(r"\\begin\{(verbatim\*?|Verbatim|lstlisting|minted|comment)\}")
_INLINE = re.compile(r"\\(?:verb\*?|lstinline)([^A-Za-z\s*{])[^\n]{0,1000}?\1")
_WHOLE_LINE = re.compile(r"^[ \t]{0,200}%.{0,100000}", re.MULTILINE)
_BETWEEN = re.compile(r"\s{0,1000}")
_OPTION = re.compile(
    r"\[(?:[^\[\]{}]|\{[^{}]{0,300}\}|\[[^\[\]]{0,300}\]){0,500}\]|\([^()]{0,500}\)"
)
_KEYS = re.compile(r"\{([^{}]{1,20000})\}")
_ITEM = re.compile(r"[^,]{1,1000}")
_KEY = re.compile(r"\s{0,200}([^\s\\#{}%*]{1,200})\s{0,200}")
_CITED_MD = re.compile(r"\[([^\[\]\n]{0,1000}@[^\[\]\n]{1,1000})\]")
_KEY_MD = re.compile(r"(?<![\w.+-])-?@\{?([^\W_][\w:.#$%&+?<>~/-]{0,200})")
_FENCED = re.compile(r"^(```|~~~)", re.MULTILINE)


def cited_in(folder: Path) -> dict[str, str]:
    """Every key that a text of the study cites, with the place where it is cited first.

    Markdown cites as `[@key]`, as pandoc reads it; LaTeX by commands whose name has `cite`. No link
    is followed out of the folder.
    """
    found: dict[str, str] = {}
    for path in _texts(folder):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        shown = path.relative_to(folder).as_posix()
        for key, line in (_keys_of_latex if path.suffix == ".tex" else _keys_of_markdown)(text):
            found.setdefault(key, f"{shown}, line {line}")
    return found


def _texts(folder: Path) -> Iterator[Path]:
    count = 0
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        is_text = path.suffix in TEXTS and path.is_file() and not path.is_symlink()
        if is_text and path.stat().st_size <= LARGEST_TEXT and count < MOST_TEXTS:
            count += 1
            yield path


def _keys_of_latex(text: str) -> Iterator[tuple[str, int]]:
    """Each key with its line; a command may go over several lines, with comments between."""
    text = _COMMENT.sub(r"\1", _INLINE.sub("", _without_code(_WHOLE_LINE.sub("", text))))
    line, counted = 1, 0
    for command in _COMMAND.finditer(text):
        if _NO_KEYS.match(text, command.start()):
            continue
        for key, place in _arguments(text, command.end(), command[1]):
            line, counted = line + text.count("\n", counted, place), max(counted, place)
            yield key, line


def _without_code(text: str) -> str:
    """The text with the line ends alone of environments that show or hide what is in them."""
    parts, at, unended = [], 0, set()
    for begin in _CODE.finditer(text):
        name = begin[1]
        if begin.start() < at or name in unended:
            continue
        end = text.find(rf"\end{{{name}}}", begin.end())
        if end < 0:
            unended.add(name)
            continue
        parts += [text[at : begin.start()], "\n" * text.count("\n", begin.start(), end)]
        at = end
    return "".join((*parts, text[at:]))


def _arguments(text: str, at: int, command: str) -> Iterator[tuple[str, int]]:
    """The keys of a command from where its arguments begin, each with its place."""
    is_list = command.endswith("cites")
    is_volume = has_volumes = "volcite" in command  # `\\volcite{2}{key}` names a volume first
    for _ in range(MOST_ARGUMENTS):
        begin = _after_blanks(text, at)
        if option := _OPTION.match(text, begin):
            at = option.end()
            continue
        keys = _KEYS.match(text, begin)
        if keys is None:
            return
        at = keys.end()
        if is_volume:
            is_volume = False
            continue
        for item in _ITEM.finditer(text, keys.start(1), keys.end(1)):
            if key := _KEY.fullmatch(item[0]):
                yield key[1], item.start() + key.start(1)
        if not is_list:
            return
        is_volume = has_volumes


def _after_blanks(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _keys_of_markdown(text: str) -> Iterator[tuple[str, int]]:
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if _FENCED.match(line.lstrip()):
            fenced = not fenced
        if fenced:
            continue
        for match in _CITED_MD.finditer(re.sub(r"`[^`]{0,500}`", "", line)):
            for key in _KEY_MD.finditer(match[1]):
                yield key[1].rstrip(".,:;?!"), number
