"""Which trained adapter an attempt was read with: what its client's log says, not the plan."""

from __future__ import annotations

from collect.attempt import AttemptRecord
from collect.parsers.parser import parser_of
from experiments.trials.execution import Execution

_SHORT = 12


def adapter_that_was_read(
    draft: AttemptRecord, planned: str | None, execution: Execution
) -> tuple[str | None, str | None]:
    """Find the hash of the adapter that was read, and whether it is that of the cell.

    Args:
        draft: the attempt.
        planned: the hash in the cell's identity; None for a cell without an adapter.
        execution: with its logs.

    Returns:
        The hash, None if none was read; and what went wrong, one sentence, or None.
    """
    parser = parser_of(draft.params.get("engine"))
    if parser is None:
        return None, None
    told = (
        parser.adapter_read(process.role, execution.logs[process.out_file])
        for process in draft.processes
        if process.out_file
    )
    read = next(filter(None, told), None)
    if read == planned:
        return read, None
    asked, found = (f"the adapter {one[:_SHORT]}…" if one else "none" for one in (planned, read))
    return read, f"its log says that it read {found}, but the cell has {asked}"
