"""The ledger of a run as `fab status --json` prints it."""

from __future__ import annotations

from collections import Counter

from collect.account import Account, State
from collect.labels import cell_label
from collect.sharing.marker import imported_of
from core.json_answer import JsonAnswer, JsonPart
from experiments.disk.ledger import status_of


class Unfinished(JsonPart):
    """Trials of a cell that are not done, for one reason.

    Attributes:
        cell_id: of the cell.
        cell: the cell in words.
        state: of the trials.
        trials: how many.
        reason: one sentence.
    """

    cell_id: str
    cell: str
    state: State
    trials: int
    reason: str


class StatusAnswer(JsonAnswer):
    """The ledger of a run: planned = done + failed + unavailable + pending.

    Attributes:
        run: its name.
        unfinished: why trials are not done, where a reason is known.
        imported_from: archive that it was imported from; null if it was measured here.
    """

    run: str
    planned: int
    done: int
    failed: int
    unavailable: int
    pending: int
    unfinished: tuple[Unfinished, ...]
    imported_from: str | None = None


def status_answer(account: Account) -> StatusAnswer:
    """Answer for a run that was read."""
    told = Counter(
        (trial.cell.cell_id, trial.state, trial.reason)
        for trial in account.trials
        if trial.reason is not None
    )
    params = {cell.cell_id: cell.params for cell in account.manifest.cells}
    unfinished = [
        Unfinished(
            cell_id=cell_id,
            cell=cell_label(params[cell_id]),
            state=state,
            trials=times,
            reason=str(reason),
        )
        for (cell_id, state, reason), times in told.items()
    ]
    mark = imported_of(account.folder)
    return StatusAnswer.model_validate(
        {
            **status_of(account),
            "unfinished": unfinished,
            "imported_from": mark.archive if mark else None,
        }
    )
