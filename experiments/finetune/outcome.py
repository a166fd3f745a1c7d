"""What `fab finetune` says about a finished model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.progress import spoken_time

if TYPE_CHECKING:
    from models.tuned import Change, TunedRecord


def finished_lines(record: TunedRecord) -> Iterator[str]:
    """Sentences about what changed, and whether all forms of the model are the same."""
    steps = record.parentage.steps
    yield f"{record.name}: {steps} steps in {spoken_time(record.seconds)} on {record.device}."
    yield f"Held-out text: {_told(record.held_out_bits_per_byte, 'bits per byte', 'documents')}."
    if record.memorised:
        yield (
            "Lines of the training text that it repeats word for word: "
            f"{_told(record.memorised, 'of them', 'lines')}."
        )
    if record.prompts:
        yield (
            f"Its {record.prompts} prompts are read by Petals alone: write `adapter: [none, "
            f"{record.name}]` in a matrix with `engine: [petals]` and `model: "
            f"[{record.parentage.base}]`."
        )
    if record.sameness is None:
        return
    if not record.sameness.faults:
        forms = len(record.sameness.exports)
        yield (
            f"All forms are the same model: base + adapter, merged, and {forms} files of engines. "
            f"Write `{record.name}` in the axis `model` of any matrix."
        )
        return
    yield "The forms are not the same model, so the catalogue does not have it:"
    for fault in record.sameness.faults:
        yield f"- {fault}"


def _told(change: Change, unit: str, over: str) -> str:
    between = ""
    if change.low is not None and change.high is not None:
        between = f"; change between {change.low:+.3f} and {change.high:+.3f} (95 %)"
    return (
        f"{change.before:.3f} {unit} before, {change.after:.3f} after, over {change.count} "
        f"{over}{between}"
    )
