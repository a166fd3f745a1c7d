"""What tuning changed, in words: a sentence for each figure before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from analysis.cells.family import Claim
from analysis.text.sentence import Sentence, say, together
from analysis.text.wording import DASH, number, percent, plural, ratio, within
from analysis.tuning.changes import Changed, Quantity, counts_of, median_speed
from analysis.tuning.pairs import Effect, PairedChange

MOST_EACH = 6
"""Figures up to which each gets a sentence at the head of the page."""

WHOLE_RUN = "this run"
BITS: Mapping[Effect, str] = {
    Effect.GAINED: (
        "Gained on {part}: {tuned} predicts the text better than {base} ({where}): {figures}."
    ),
    Effect.FORGOTTEN: (
        "Forgotten on {part}: {tuned} predicts the text worse than {base} ({where}): {figures}."
    ),
    Effect.NO_DIFFERENCE: (
        "On {part} no difference is shown between {tuned} and {base} ({where}): {figures}."
    ),
    Effect.TOO_FEW: (
        "On {part} there are too few documents to compare {tuned} with {base} ({where}): {figures}."
    ),
}
RIGHT: Mapping[Effect, str] = {
    Effect.GAINED: (
        "Gained on {part}: {tuned} answers more questions rightly than {base} ({where}): {figures}."
    ),
    Effect.FORGOTTEN: (
        "Forgotten on {part}: {tuned} answers fewer questions rightly than {base} ({where}): "
        "{figures}."
    ),
    Effect.NO_DIFFERENCE: (
        "On {part} no difference is shown in how many questions {tuned} and {base} answer rightly "
        "({where}): {figures}."
    ),
    Effect.TOO_FEW: (
        "On {part} there are too few questions with a key to compare {tuned} with {base} "
        "({where}): {figures}."
    ),
}
RATED: Mapping[Effect, str] = {
    Effect.GAINED: (
        "Gained on {part}: answers of {tuned} are rated higher for {rubric} than those of {base} "
        "({where}): {figures}."
    ),
    Effect.FORGOTTEN: (
        "Lost on {part}: answers of {tuned} are rated lower for {rubric} than those of {base} "
        "({where}): {figures}."
    ),
    Effect.NO_DIFFERENCE: (
        "On {part} no difference is shown in how answers of {tuned} and {base} are rated for "
        "{rubric} ({where}): {figures}."
    ),
    Effect.TOO_FEW: (
        "On {part} too few answers of {tuned} and {base} are rated for {rubric} ({where}): "
        "{figures}."
    ),
}
OF_QUANTITY = {Quantity.BITS: BITS, Quantity.RIGHT: RIGHT, Quantity.RATED: RATED}
SPEED: Mapping[Claim, str] = {
    Claim.SAME: (
        "Control: merging must not change the speed, and it did not: {tuned} runs at {times} "
        "times the speed of {base}, which is within {margin} ({where})."
    ),
    Claim.FASTER: (
        "Control: merging must not change the speed, but it did: {tuned} is faster, at {times} "
        "times the speed of {base} ({where}). Something else differs between the two."
    ),
    Claim.SLOWER: (
        "Control: merging must not change the speed, but it did: {tuned} is slower, at {times} "
        "times the speed of {base} ({where}). Something else differs between the two."
    ),
    Claim.UNKNOWN: (
        "Control: merging must not change the speed, but whether it did cannot be determined: "
        "{tuned} runs at {times} times the speed of {base}, and {margin} would count as the same "
        "({where})."
    ),
}
ADAPTER_SPEED: Mapping[Claim, str] = {
    Claim.SAME: (
        "The adapter costs no speed: with {tuned} the client runs at {times} times the speed of "
        "{base} alone, which is within {margin} ({where})."
    ),
    Claim.FASTER: (
        "With the adapter {tuned} the client is faster, at {times} times the speed of {base} alone "
        "({where})."
    ),
    Claim.SLOWER: (
        "The adapter costs speed: with {tuned} the client runs at {times} times the speed of "
        "{base} alone ({where})."
    ),
    Claim.UNKNOWN: (
        "What the adapter costs in speed cannot be determined: with {tuned} the client runs at "
        "{times} times the speed of {base} alone ({where})."
    ),
}
FIGURES = (
    "{after} {unit} instead of {before} (change {change}, 95 % interval {low} to {high}, paired "
    "over {things}; {p_value})"
)
P_VALUE, SMALL_P = "p = {p_value} after correction", "p < {least} after correction"
LEAST_P = 0.001
"""Below it a p-value is not given in digits."""
FEW_FIGURES = "{after} {unit} instead of {before} over {things}; it takes {fewest}"
ALL_GAINED = (
    "Gained on {part}: {tuned} is better than {base} in all {pairs} ({quantity}, change {changes})."
)
ALL_LOST = (
    "Forgotten on {part}: {tuned} is worse than {base} in all {pairs} ({quantity}, change "
    "{changes})."
)
NONE_DIFFERS = (
    "On {part} no difference is shown between {tuned} and {base} in any of {pairs} ({quantity}, "
    "change {changes})."
)
ALL_TOO_FEW = (
    "On {part} all {pairs} of {tuned} and {base} have too few values to compare ({quantity})."
)
MIXED = (
    "On {part} {tuned} is better than {base} in {gained} of {pairs} and worse in {lost}; the "
    "others show no difference or have too few values ({quantity}, change {changes})."
)
ALL_SAME_SPEED = (
    "Control: merging must not change the speed, and it did not: {tuned} and {base} are equally "
    "fast within {margin} in all {pairs}."
)
MIXED_SPEED = (
    "Control: merging must not change the speed. {tuned} and {base} are equally fast within "
    "{margin} in {same} of {pairs} and differ in {differ}; for the others it cannot be determined."
)
ADAPTER_SPEEDS = (
    "With the adapter {tuned} the client is as fast as {base} alone within {margin} in {same} of "
    "{pairs}, and slower or faster in {differ}; for the others it cannot be determined."
)
UNITS = {
    Quantity.BITS: "bits per byte",
    Quantity.RIGHT: "of answers right",
    Quantity.RATED: "of 5 points",
}
MINUS = "\N{MINUS SIGN}"


def sentence_of(row: Changed, margin: float) -> Sentence:
    """Say what one figure shows.

    Args:
        row: the figure.
        margin: relative difference below which two speeds count as the same.
    """
    named = {"tuned": row.arms.tuned, "base": row.arms.base, "where": row.arms.where}
    if row.change is None or row.effect is None:
        claim = row.speed.finding if row.speed else Claim.UNKNOWN
        told = ratio(row.speed.ratio, brief=True) if row.speed and row.speed.ratio else DASH
        templates = ADAPTER_SPEED if row.arms.is_adapter else SPEED
        return say(templates[claim], **named, times=told, margin=within(margin))
    return say(
        OF_QUANTITY[row.quantity][row.effect],
        **named,
        part=row.part or WHOLE_RUN,
        rubric=row.rubric,
        figures=figures(row.quantity, row.change, row.p_adjusted),
    )


def figures(quantity: Quantity, change: PairedChange, p_adjusted: float | None) -> Sentence:
    """Both figures, the change with its interval, and over how many documents or questions.

    Args:
        quantity: what the figures are of.
        change: the figures.
        p_adjusted: after correction for all changes of the report; None where none was tried.
    """
    thing = "document" if quantity is Quantity.BITS else "question"
    named = {
        "before": level(quantity, change.before),
        "after": level(quantity, change.after),
        "unit": UNITS[quantity],
        "things": plural(change.count, thing),
    }
    if change.low is None or change.high is None or p_adjusted is None:
        return say(FEW_FIGURES, **named, fewest=change.fewest)
    low, high = (signed(quantity, end) for end in (change.low, change.high))
    told = signed(quantity, change.change)
    is_small = p_adjusted < LEAST_P
    told_p = say(SMALL_P if is_small else P_VALUE, p_value=f"{p_adjusted:.3f}", least=LEAST_P)
    return say(FIGURES, **named, change=told, low=low, high=high, p_value=told_p)


def level(quantity: Quantity, value: float) -> str:
    """A figure itself: a share in percent, bits and points as numbers."""
    if quantity is Quantity.RIGHT:
        return percent(value)
    return f"{value:.3f}" if quantity is Quantity.BITS else f"{value:.2f}"


def signed(quantity: Quantity, value: float) -> str:
    """A change with its sign; that of a share in points of percent."""
    size = f"{abs(value):.3f}"
    if quantity is Quantity.RIGHT:
        size = say("{value:.1f} points", value=100 * abs(value))
    elif quantity is Quantity.RATED:
        size = f"{abs(value):.2f}"
    sign = "" if value == 0 else "+" if value > 0 else MINUS
    return say("{sign}{size}", sign=sign, size=size)


def verdict_sentences(rows: Sequence[Changed], margin: float) -> tuple[Sentence, ...]:
    """Sum up at the head of the page what tuning changed, each figure by itself if they are few."""
    if len(rows) <= MOST_EACH:
        return tuple(sentence_of(row, margin) for row in rows)
    return tuple(_summaries(rows, margin))


def _summaries(rows: Sequence[Changed], margin: float) -> Iterator[Sentence]:
    """A sentence for each tuned model, part and quantity."""
    groups: dict[tuple[str, ...], list[Changed]] = {}
    for row in rows:
        groups.setdefault((row.arms.tuned, row.arms.base, row.part, row.name), []).append(row)
    for own in groups.values():
        if len(own) == 1:
            yield sentence_of(own[0], margin)
        elif own[0].change is None:
            yield _speeds(own, margin)
        else:
            yield _changes(own)


def _speeds(rows: Sequence[Changed], margin: float) -> Sentence:
    same = counts_of(rows, Claim.SAME)
    template = ALL_SAME_SPEED if same == len(rows) else MIXED_SPEED
    return say(
        ADAPTER_SPEEDS if rows[0].arms.is_adapter else template,
        tuned=rows[0].arms.tuned,
        base=rows[0].arms.base,
        pairs=plural(len(rows), "pair"),
        margin=within(margin),
        same=same,
        differ=counts_of(rows, Claim.FASTER) + counts_of(rows, Claim.SLOWER),
    )


def _changes(rows: Sequence[Changed]) -> Sentence:
    all_alike = {
        Effect.GAINED: ALL_GAINED,
        Effect.FORGOTTEN: ALL_LOST,
        Effect.NO_DIFFERENCE: NONE_DIFFERS,
        Effect.TOO_FEW: ALL_TOO_FEW,
    }
    seen = {row.effect for row in rows if row.effect}
    quantity = rows[0].quantity
    changes = [row.change.change for row in rows if row.change]
    ends = [signed(quantity, end) for end in (min(changes), max(changes))]
    return say(
        all_alike[min(seen)] if len(seen) == 1 else MIXED,
        part=rows[0].part or WHOLE_RUN,
        tuned=rows[0].arms.tuned,
        base=rows[0].arms.base,
        pairs=plural(len(rows), "pair"),
        quantity=rows[0].name,
        gained=counts_of(rows, Effect.GAINED),
        lost=counts_of(rows, Effect.FORGOTTEN),
        changes=together(dict.fromkeys(ends), " to "),
    )


def speeds(row: Changed) -> tuple[str, str]:
    """The median tokens/s of both arms."""
    before, after = (median_speed(cell) for cell in (row.arms.before, row.arms.after))
    return number(before), number(after)
