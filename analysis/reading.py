"""A run's folder as a study: its tables, with all that was said about it later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.agreement.report import Agreed, agreed
from analysis.answers.ratings import Ratings
from analysis.parts import study_of_parts
from analysis.study import Study, study_of
from collect.account import Account
from collect.judging import Judged, read_judges
from collect.probe import ProbeRecord, newest_for, probes_of
from collect.ratings import read_ratings
from collect.run import RunManifest
from collect.sharing.marker import ImportedRecord, imported_of
from collect.tables import Tables, by_part, tables_of


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a study is made of, apart from the run's plan and its tables.

    Attributes:
        warnings: what is wrong with the run's folder, a sentence each.
        agreement: of a greedy run, or a greedy part, with the reference; None for another.
        ratings: what raters thought of its answers; None if there are none.
        judges: what systems thought of them.
        probe: what its machines can do without an engine; None if they were not probed.
        origin: how the run came here; None for one that was measured here.
    """

    warnings: Sequence[str] = ()
    agreement: Agreed | None = None
    ratings: Ratings | None = None
    judges: Sequence[Judged] = ()
    probe: ProbeRecord | None = None
    origin: ImportedRecord | None = None


def evidence_of(
    run: RunManifest, tables: Tables, run_folder: Path, warnings: Sequence[str]
) -> Evidence:
    """Read what a run's folder and its neighbours hold about the run.

    Args:
        run: the run's plan.
        tables: what was measured.
        run_folder: `results/<run>`.
        warnings: what is wrong with that folder, a sentence each.

    Raises:
        HerdError: a file of the folder is damaged.
    """
    greedy = (agreed(*one, run_folder) for one in by_part(run, tables).values())
    return Evidence(
        warnings=warnings,
        agreement=next(filter(None, greedy), None),
        ratings=read_ratings(run_folder),
        judges=read_judges(run_folder),
        probe=newest_for(probes_of(run_folder), run.nodes, at=run.created_at).record,
        origin=imported_of(run_folder),
    )


def understood(run: RunManifest, tables: Tables, evidence: Evidence) -> Study:
    """Find out what a run means, with parts or without."""
    understand = study_of_parts if run.parts else study_of
    study = understand(
        run,
        tables,
        warnings=evidence.warnings,
        agreement=evidence.agreement,
        ratings=evidence.ratings,
        judges=evidence.judges,
    )
    return replace(study.with_probe(evidence.probe), origin=evidence.origin)


def study_in(run_folder: Path) -> Study:
    """Read a run's folder and find out what the run means.

    Args:
        run_folder: `results/<run>`.

    Raises:
        HerdError: the folder is damaged.
    """
    account = Account.read(run_folder)
    tables = tables_of(account)
    run, warnings = account.manifest, account.warnings
    del account  # of many attempts it is the most that is in memory
    return understood(run, tables, evidence_of(run, tables, run_folder, warnings))
