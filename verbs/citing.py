"""The verb of the references of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from core.errors import HerdError
from verbs.bare_words import BareWords
from verbs.verb import JSON_HELP, say, say_besides, say_json, verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from collect.citing.bib_file import BibFile
    from collect.citing.checking import BibProblem
    from core.bibtex import BibEntry

MOST_UNASKED = 3
ACTIONS = ("add", "check", "list")
TYPED = ("author", "title", "journal", "booktitle", "publisher", "year", "volume", "number",
         "pages", "url", "note")  # fmt: skip
"""Fields that may be given on the command line."""
WORDS = BareWords("--word")


@verb(
    help={
        "word": "bare words after `cite`: add with a DOI, arXiv number or address; check; list",
        "key": "by which texts cite it (default: made of author, year and title)",
        "kind": "of entry: article, book, inproceedings, misc …",
        **dict.fromkeys(TYPED, "the field, typed in: nothing is asked of the network then"),
        "author": "names, as `Family, Given and Family, Given`",
        "online": "check: also ask each address whether there is still something",
        "json": JSON_HELP,
        "study": "folder of the study (default: LLAMA_HERD_STUDY, or study/)",
    },
    iterable=["word"],
)
def cite(
    _context: Context,
    word: list[str] | None = None,
    key: str | None = None,
    kind: str | None = None,
    author: str | None = None,
    title: str | None = None,
    journal: str | None = None,
    booktitle: str | None = None,
    publisher: str | None = None,
    year: str | None = None,
    volume: str | None = None,
    number: str | None = None,
    pages: str | None = None,
    url: str | None = None,
    note: str | None = None,
    online: bool = False,
    json: bool = False,
    study: str | None = None,
) -> None:
    """Keep references: add DOI|arXiv|URL, check, list."""
    from collect.citing.bib_file import BibFile
    from core.paths import study_folder

    what, *words = word or ["list"]
    values = (author, title, journal, booktitle, publisher, year, volume, number, pages, url, note)
    typed = {name: value for name, value in zip(TYPED, values, strict=True) if value}
    file = BibFile(study_folder(study))
    if what not in ACTIONS:
        raise HerdError(f"fab cite {what}: write one of {', '.join(ACTIONS)} behind `fab cite`.")
    if what != "add" and (words or typed or key or kind):
        raise HerdError(f"fab cite {what} takes only --json and --study.")
    if online and what != "check":
        raise HerdError("--online is for fab cite check.")
    if what == "add":
        if json or len(words) > 1:
            raise HerdError("fab cite add: give one DOI, arXiv number or address, without --json.")
        _add(file, words, typed, key or "", kind or "")
    elif what == "check":
        _check(file, online=online, as_json=json)
    else:
        _list(file, as_json=json)


def _add(file: BibFile, words: list[str], typed: dict[str, str], key: str, kind: str) -> None:
    """Add a work by what is typed, or by what its registry says."""
    from collect.citing.works import require_key, work_of

    if not words and not typed.get("title"):
        raise HerdError("fab cite add: give a DOI, an arXiv number or an address, or --title.")
    fields = dict(typed)
    if words:
        work = work_of(words[0])
        fields = {**work.fields, **typed}
        if not typed.get("title"):
            if work.kind == "url":
                raise HerdError(
                    f"fab cite add {work.name}: an address has no registry, so give at least "
                    "--title, and --author and --year where they are known."
                )
            from experiments.citing.fetch import look_up

            found = look_up(work)
            kind = kind or found.kind
            fields = {**found.fields, **fields}
    added = file.add(kind, fields, require_key(key))
    if added.is_new:
        say(f"{file.path}: {added.key} was added. Cite it as [@{added.key}].")
    elif added.fields:
        say(f"{file.path}: {added.key} was there; added: {', '.join(added.fields)}.")
    else:
        say(f"{file.path}: {added.key} is there already, with all fields.")


def _check(file: BibFile, *, online: bool, as_json: bool) -> None:
    from analysis.references.shipped import shipped
    from collect.citing.checking import problems_of
    from collect.citing.cite_answer import CiteAnswer, CiteProblem, entry_of
    from collect.citing.cited import cited_in

    found = file.read()
    problems = list(problems_of(file.path, found, cited_in(file.folder), shipped().by_key))
    problems += _dead(file, found.entries) if online else []
    if as_json:
        say_json(
            CiteAnswer(
                file=str(file.path),
                entries=tuple(map(entry_of, found.entries)),
                problems=tuple(CiteProblem(**problem) for problem in map(_as_dict, problems)),
            )
        )
    else:
        for one in problems:
            say(f"{one.where}: {one.key + ': ' if one.key else ''}{one.text}")
        wrong = sum(one.kind != "unused" for one in problems)
        say(f"{len(found.entries)} references, {wrong} to fix, {len(problems) - wrong} not cited.")
    if any(one.kind != "unused" for one in problems):
        raise Exit(code=1)


def _dead(file: BibFile, entries: Iterable[BibEntry]) -> Iterator[BibProblem]:
    """Ask the address of each entry, one after the other; three that cannot be asked end it."""
    from analysis.references.shipped import address
    from collect.citing.checking import BibProblem
    from experiments.citing.fetch import is_gone

    unasked = 0
    for entry in entries:
        where, place = f"{file.path.name}, line {entry.line}", address(entry)
        if not place.startswith("https://"):
            continue
        try:
            if is_gone(place):
                yield BibProblem(
                    "dead", where, entry.key, f"{place} answers that nothing is there."
                )
        except OSError as error:
            say_besides(f"{where}: {entry.key} was not asked online: {error.strerror}.")
            unasked += 1
        if unasked == MOST_UNASKED:
            say_besides("Nothing further is asked online.")
            return


def _as_dict(problem: object) -> dict[str, str]:
    return {name: getattr(problem, name) for name in ("kind", "where", "key", "text")}


def _list(file: BibFile, *, as_json: bool) -> None:
    from collect.citing.cite_answer import CiteAnswer, entry_of

    found = file.read()
    if as_json:
        entries = tuple(map(entry_of, found.entries))
        say_json(CiteAnswer(file=str(file.path), entries=entries, problems=()))
        return
    for entry in found.entries:
        say(f"[@{entry.key}] {_in_words(entry)}")
    if not found.entries:
        say(f"There are no references in {file.path} yet. Add one: fab cite add DOI")
    for fault in found.faults:
        say_besides(f"{file.path}, line {fault.line}: {fault.what}.")


def _in_words(entry: BibEntry) -> str:
    from analysis.references.shipped import address, written_out

    return " ".join(filter(None, (written_out(entry), address(entry))))
