"""What a run asked, in the language in force; `collect/told.py` says the same in English."""

from __future__ import annotations

from analysis.text.sentence import Sentence, say, together, verbatim
from collect.run import RunManifest
from collect.told import MOST_VALUES, NAMELESS, asked_axes, kinds_asked
from core.record import Scalar

QUESTION = "{title} ({work}): {axes}"
AXIS = "{axis} {values}"
MORE = "{values} and {n} more"


def matrix_question(run: RunManifest) -> Sentence:
    """Say what a matrix asked: its title, and the axes that vary in it."""
    axes = (_axis(axis, values) for axis, values in asked_axes(run))
    return say(
        QUESTION,
        title=verbatim(run.title),
        work=together(kinds_asked(run), ", "),
        axes=together(axes, "; "),
    )


def _axis(axis: str, values: tuple[Scalar, ...]) -> Sentence:
    shown = verbatim(", ".join(map(str, values[:MOST_VALUES])))
    more = len(values) - MOST_VALUES
    listed = say(MORE, values=shown, n=more) if more > 0 else shown
    return listed if axis in NAMELESS else say(AXIS, axis=axis, values=listed)
