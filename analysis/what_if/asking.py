"""Answering questions by the fits of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.cells.cells import cell_results
from analysis.cells.series import series_of
from analysis.network.run_fits import fits_of
from analysis.text.sentence import say
from analysis.text.wording import listing
from analysis.what_if.answer import Predicted, answer
from analysis.what_if.basis import Basis, bases_of, usable
from analysis.what_if.supposed import Supposed, supposed_of
from collect.account import Account
from collect.arms import first_arms
from collect.probe import ProbeRecord, newest_for
from collect.run import RunManifest
from collect.tables import Tables, by_part, tables_of
from core.errors import HerdError
from core.foreign import one_line

NO_FIT = (
    "{run} has nothing to fit: no engine was measured on three numbers of nodes with all else "
    "equal. Measure such a run, with four numbers if possible: `fab run-matrix --nodes 1,2,4` "
    "takes four nodes, `--nodes 1,2,4,8` eight."
)


@dataclass(frozen=True, slots=True)
class Consulted:
    """Questions about a run, and what its fits answer.

    Attributes:
        bases: the fits that were asked, those that may not be used included.
        answers: in the order of the fits, then of the questions.
    """

    bases: tuple[Basis, ...]
    answers: tuple[Predicted, ...]


def about_run(folder: Path, engine: str | None, given: Mapping[str, str | None]) -> Consulted:
    """Answer questions by the fits of a run.

    Args:
        folder: of the run.
        engine: whose fits; None for all.
        given: flag to what was written (`supposed_of`).

    Raises:
        HerdError: a flag is wrong, or the run cannot answer; the message has the reason.
    """
    questions = supposed_of(given)
    account = Account.read(folder)
    known = newest_for(folder.parent, account.manifest.nodes, at=account.manifest.created_at)
    run, tables = account.manifest, tables_of(account)
    bases = bases_of_run(run, tables, known.record, engine)
    if engine is not None and not bases:
        bases = bases_of_run(run, tables, known.record)
    if not bases:
        raise HerdError(say(NO_FIT, run=run.run))
    wanted = _chosen(bases, engine, {asked.model for asked in questions})
    return Consulted(wanted, tuple(predicted_of(wanted, questions)))


def _chosen(
    bases: Sequence[Basis], engine: str | None, models: set[str | None]
) -> tuple[Basis, ...]:
    """The fits of an engine; of these the ones that measured a model that is asked for, if any."""
    engines = list(dict.fromkeys(one for basis in bases for one in (basis.engine, basis.label)))
    if engine is not None and engine not in engines:
        right = listing([one_line(name) for name in engines], "or")
        raise HerdError(f"--engine {one_line(engine)}: the run has no fit of it, but of {right}.")
    own = [basis for basis in bases if engine in (None, basis.engine, basis.label)]
    return tuple([basis for basis in own if models & set(basis.models)] or own)


def predicted_of(bases: Iterable[Basis], questions: Iterable[Supposed]) -> list[Predicted]:
    """Predicted every question by every fit that may be used.

    Raises:
        HerdError: a question asks for what the run does not know.
    """
    asked = list(questions)
    return [answer(basis, fit, one) for basis, fit in usable(bases) for one in asked]


def bases_of_run(
    run: RunManifest, tables: Tables, probe: ProbeRecord | None = None, engine: str | None = None
) -> tuple[Basis, ...]:
    """Fit the cells of a run; of a run with parts, those of each part.

    Args:
        run: the run's plan.
        tables: what was measured.
        probe: what was measured of its machines by themselves.
        engine: whose, or the label of the cells; None for all.
    """
    found: list[Basis] = []
    for name, (part, rows) in by_part(run, tables).items():
        first, own = first_arms(part, rows)
        cells = cell_results(first, own.trials, own.attempts, own.nodes)
        series = [one for one in series_of(cells) if not one.is_remote]
        made = bases_of(first, series, fits_of(first, series, own.nodes, probe, engine))
        found += [replace(one, label=f"{name}: {one.label}") if name else one for one in made]
    return tuple(found)
