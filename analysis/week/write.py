"""Writes the page of a week next to the log, and never over what a person changed in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import Field

from analysis.blocks import Section
from analysis.pages import write_pages
from core.digest import sha256_of
from core.durable import replace_file, writing
from core.errors import HerdError
from core.language.choice import ENGLISH
from core.record import Record, read_record
from core.scratch import scratch

WEEKS_FOLDER = "weeks"
RECORD_FILE = ".written.json"
KEPT = "The log is as it was."


class WrittenFiles(Record):
    """What was written for the page of a week.

    Attributes:
        files: path below the folder of weeks to the SHA-256 of what may be there: two for a page
            that was being replaced when the program was killed.
    """

    files: dict[str, tuple[str, ...]] = Field(default_factory=dict)


def write_week_page(
    study: Path,
    title: str,
    name: str,
    sections: Sequence[Section],
    tell: Callable[[str], None],
    languages: tuple[str, ...] = (ENGLISH,),
) -> Path:
    """Write `weeks/<name>.html` and `.md`, with their charts and tables in `weeks/<name>/`.

    In several languages the HTML page has all of them, and each has its own Markdown.

    Args:
        study: folder of the study.
        title: of the log.
        name: of the week, such as `2026-W48`.
        sections: of the page.
        tell: gets the progress, a line at a time.
        languages: in which the page is written.

    Returns:
        The HTML page.

    Raises:
        HerdError: it cannot be written, or a person changed a file that would be replaced.
    """
    weeks = study / WEEKS_FOLDER
    with writing(f"the page of {name}", weeks, kept=KEPT):
        weeks.mkdir(parents=True, exist_ok=True)
        before = _written(weeks, name)
        with scratch(weeks, "week") as made:
            (made / name).mkdir()
            write_pages(
                made / name, title, name, sections, tell, beside=f"{name}/", languages=languages
            )
            (made / name / "index.html").rename(made / f"{name}.html")
            for page in (made / name).glob("report*.md"):
                ending = page.name.removeprefix("report") if len(languages) > 1 else ".md"
                page.rename(made / f"{name}{ending}")
            paths = [path for path in made.rglob("*") if path.is_file()]
            found = {str(path.relative_to(made)): sha256_of(path) for path in paths}
            _require_ours(weeks, before, found)
            _place(weeks, name, made, before, found)
    return weeks / f"{name}.html"


def _written(weeks: Path, name: str) -> WrittenFiles:
    folder = weeks / name
    if not folder.is_dir():
        return WrittenFiles()
    doing, remedy = f"Reading {folder}", "Rename the folder to keep what is in it, then repeat."
    return read_record(folder, RECORD_FILE, WrittenFiles, doing, remedy) or WrittenFiles()


def _require_ours(weeks: Path, before: WrittenFiles, found: dict[str, str]) -> None:
    """See that nothing is replaced that a person wrote or changed."""
    for file, digest in found.items():
        path = weeks / file
        known = (*before.files.get(file, ()), digest)
        if path.exists() and (not path.is_file() or sha256_of(path) not in known):
            raise HerdError(
                f"{path} was changed, or not written by `fab log report`, so it is left as it is. "
                "Rename it to keep it, then repeat the command."
            )


def _place(weeks: Path, name: str, made: Path, before: WrittenFiles, found: dict[str, str]) -> None:
    """Move the new files to their places; a kill in between leaves files that are known as ours."""
    folder = weeks / name
    folder.mkdir(exist_ok=True)
    either = {file: (*before.files.get(file, ()), digest) for file, digest in found.items()}
    _record(folder, WrittenFiles(files={**before.files, **either}))
    for file in sorted(found, key=lambda one: one.endswith((".html", ".md"))):
        (made / file).replace(weeks / file)
    for file, digests in before.files.items():
        path = weeks / file
        if file not in found and path.is_file() and sha256_of(path) in digests:
            path.unlink()
    _record(folder, WrittenFiles(files={file: (digest,) for file, digest in found.items()}))


def _record(folder: Path, written: WrittenFiles) -> None:
    replace_file(folder / RECORD_FILE, written.model_dump_json(indent=1).encode())
