"""What a runner does at the moment: `results/.live.json`.

The runner of a results folder replaces this file when a trial begins or ends, and every two seconds
while a long one works. It is no part of any run and is never needed to continue one. A power cut
may lose it, and after a kill it names a process that is no more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from collect.cells import PlaceNumber
from core.errors import HerdError
from core.foreign import Count, FileName
from core.process import ProcessMark
from core.record import Moment, Positive, Record, UnfitError, Words, parse_record, read_file, why

LIVE_FILE = ".live.json"
MOST_NOTES = 12
LARGEST_BYTES = 1 << 20


class LiveTrial(Record):
    """The trial at work.

    Attributes:
        order: position in the run, from 1.
        cell: the cell in a few words.
        attempt: from 1; 0 for a warm-up.
        since: when it began.
        tokens_per_s: over the last lines of its log; None where it prints none so far.
    """

    order: PlaceNumber
    cell: Words
    attempt: Count
    since: Moment
    tokens_per_s: Positive | None = None


class LiveNote(Record):
    """What the runner printed in between, such as why an attempt failed."""

    at: Moment
    text: Words


class Live(Record):
    """What a runner does.

    Attributes:
        run: name of the run.
        runner: its process.
        began: when it began or continued this run.
        ended: when it stopped measuring; None while it measures.
        trial: at work; None between trials.
        notes: the latest ones.
    """

    schema_version: Literal[1] = 1
    run: FileName
    runner: ProcessMark
    began: Moment
    ended: Moment | None = None
    trial: LiveTrial | None = None
    notes: Annotated[tuple[LiveNote, ...], Field(max_length=MOST_NOTES)] = ()


def read_live(results: Path) -> Live | None:
    """Read what the runner of a results folder does, or did last; None if there was none.

    Raises:
        HerdError: the file cannot be read, or is no such record.
    """
    doing = f"Reading {results / LIVE_FILE}"
    try:
        return parse_record(read_file(results, LIVE_FILE, LARGEST_BYTES), Live)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HerdError(f"{doing}: {why(error)}. Remove it; no run needs it.") from None
    except UnfitError as error:
        raise HerdError(
            f"{doing}: it is damaged or from another version ({error}). Remove it; no run needs it."
        ) from None
