"""The report of a run: one page, the same as Markdown, and the data behind every chart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from analysis.agreement.report import Agreed
from analysis.pages import write_pages
from analysis.reading import Evidence, evidence_of, understood
from analysis.references import with_references
from analysis.sections import sections_of
from analysis.text.sentence import together, verbatim
from collect.account import Account
from collect.run import RunManifest
from collect.tables import Tables, tables_of
from collect.told import VERDICT_FILE, VerdictRecord
from core.durable import land_instead, write_file
from core.errors import HerdError
from core.foreign import inside, visible
from core.language.choice import ENGLISH
from core.scratch import scratch


@dataclass(frozen=True, slots=True)
class Report:
    """A written report.

    Attributes:
        index: the page.
        verdict: what the run found, a sentence and its reservations.
        agreement: of a greedy run with the reference; None for another.
    """

    index: Path
    verdict: str
    agreement: Agreed | None


MANY_TRIALS = 500
"""From so many planned trials on, a report shows its progress."""


def _silent(_line: str) -> None:
    """Print nothing."""


def write_report(
    run_folder: Path,
    reports_folder: Path,
    tell: Callable[[str], None] = _silent,
    languages: tuple[str, ...] = (ENGLISH,),
) -> Report:
    """Write the report of a run to `<reports_folder>/<run>/`.

    A report that is there already is replaced as a whole. Its content depends only on the files
    in the run's folder: the same run gives the same report. The run's tables are written again,
    too (`<run_folder>/tables/`).

    Args:
        run_folder: `results/<run>`.
        reports_folder: where reports are written.
        tell: gets the progress of a large report, a line at a time.
        languages: in which it is written; the page shows the first one first.

    Raises:
        HerdError: the run's folder is damaged, or the report cannot be written.
    """
    account = Account.read(run_folder)
    tables = tables_of(account)
    tables.write(run_folder)
    run, warnings = account.manifest, account.warnings
    del account  # of many attempts it is the most that is in memory
    target = inside(reports_folder, run.run)
    try:
        reports_folder.mkdir(parents=True, exist_ok=True)
        with scratch(reports_folder, "report") as made:
            folder = made / run.run
            folder.mkdir()
            evidence = evidence_of(run, tables, run_folder, warnings)
            told = tell if len(run.trials) >= MANY_TRIALS else _silent
            verdict = compose(run, tables, folder, evidence, tell=told, languages=languages)
            write_file(folder / VERDICT_FILE, _told(run, tables, verdict))
            land_instead(folder, target)
    except OSError as error:
        raise HerdError(
            f"Writing the report of {run.run} to {target}: {error.strerror or error}. "
            f"Free some space or allow writing there, then run `fab report --run {run.run}`."
        ) from None
    return Report(target / "index.html", verdict, evidence.agreement)


def _told(run: RunManifest, tables: Tables, verdict: str) -> bytes:
    """What lists of runs print about this one."""
    done = int((tables.trials["state"] == "done").sum())
    said = VerdictRecord(
        run=run.run, verdict=visible(verdict)[:4000], done=done, planned=len(run.trials)
    )
    return said.model_dump_json(indent=1).encode()


def compose(
    run: RunManifest,
    tables: Tables,
    folder: Path,
    evidence: Evidence | None = None,
    *,
    tell: Callable[[str], None] = _silent,
    languages: tuple[str, ...] = (ENGLISH,),
) -> str:
    """Write the files of a report into an empty folder.

    Args:
        run: the run's plan.
        tables: what was measured.
        folder: an empty folder.
        evidence: what else is known about the run; None: nothing.
        tell: gets the progress, a line at a time.
        languages: in which it is written.

    Returns:
        What the run found, a sentence and its reservations; of a run with parts, a line each.
    """
    tell(f"Report: {len(run.cells)} cells, {len(tables.attempts)} attempts")
    study = understood(run, tables, evidence or Evidence())
    sections = with_references(run, sections_of(study))
    write_pages(folder, verbatim(run.title), run.run, sections, tell, languages=languages)
    details = study.verdict.details if study.parts else ()
    return together((study.verdict.spoken, *details), "\n")
