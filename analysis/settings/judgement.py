"""Is the best setting of a search better than the default? Only the confirmation decides.

A setting that was chosen for its speed in the search was also chosen for its luck there. So its
gain in the search is no figure to quote; the pairs of the confirmation were measured afterwards.
They are judged by the rules of every report (`analysis.cells.family`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from analysis.cells.family import Claim, Compared, Family, Pair, Side
from analysis.cells.labels import named_by
from analysis.statistics.stats import Ratio, paired_ratio
from analysis.text.sentence import Sentence, capital, say
from analysis.text.wording import bare, ends, plural, within
from collect.search import SPEEDS, Arm, Confirmation, Setting, TuningResult

FEWEST_PAIRS = 10
FORGIVEN = 1
"""Attempts of the best setting that may fail in the confirmation."""
WHAT = {"answer": "a whole answer", "decode": "generating", "prefill": "reading the prompt"}
"""Kind of speed to what is fast."""

GAIN = "{best} is {value} times as fast as the default ({low} to {high})."
FASTER = "{what} is {value} times as fast as with the default ({low} to {high})."
SLOWER = "But {what} is slower: {value} times as fast as with the default ({low} to {high})."
SAME = "{best} and the default differ by less than {margin}: keep the default."
NOISE = "Nothing above the noise floor: keep the default."
MEASURED = "{best} was {value} times as fast as the default ({low} to {high}), of {pairs}."
LOSES = (
    "{best}, the best of the search, is slower than the default ({value} times as fast, {low} to "
    "{high}): keep the default."
)
DEFAULT_LEADS = "No setting was faster than the default in the search: keep the default."
CRASHES = (
    "{best} failed in {crashes} of {attempts} of the confirmation ({cause}): keep the default."
)
FEW = "{best} was not confirmed: only {n} of {pairs} were whole, and {fewest} are needed."
ALL_FAIL = "Every setting failed, the default too: there is nothing to recommend."
ONLY = (
    "The default fails here ({cause}). {best} is the fastest of those that work; no gain can be "
    "stated."
)
CURSE = (
    "This figure is from the confirmation alone: in the search the best of several settings was "
    "chosen, so what it had there is too high on average."
)


@dataclass(frozen=True, slots=True)
class TuningVerdict:
    """What a search came to.

    Attributes:
        answer: one sentence.
        details: what else must be known.
        is_gain: the best setting is to be used instead of the default.
        family: what was compared in the confirmation; None where there was none.
    """

    answer: Sentence
    details: tuple[Sentence, ...]
    is_gain: bool
    family: Family | None = None


def setting_in_words(setting: Setting, default: Setting) -> str:
    """A setting by what differs from the default: `net-turbo off, 2 threads`."""
    axes = [name for name, value in setting.items() if default.get(name) != value]
    return named_by(setting, axes, otherwise="the default")


def judge(searched: TuningResult) -> TuningVerdict:
    """Decide whether the best setting is to be used."""
    best = searched.best
    if best is None:
        return TuningVerdict(say(ALL_FAIL), (), is_gain=False)
    named = capital(setting_in_words(best.setting, searched.default))
    if searched.default_fails is not None:
        only = say(ONLY, cause=bare(searched.default_fails), best=named)
        return TuningVerdict(only, (), is_gain=True)
    if searched.confirmation is None:
        return TuningVerdict(say(DEFAULT_LEADS), (), is_gain=False)
    return _confirmed(searched, searched.confirmation, named)


def _confirmed(searched: TuningResult, confirmation: Confirmation, best: str) -> TuningVerdict:
    family = Family(confirmed_pairs(confirmation, searched.speed, best), searched.margin)
    row = family.find(searched.speed, confirmation.best.cell_id, confirmation.default.cell_id)
    ours = confirmation.best
    if ours.crashes > FORGIVEN:
        attempts = plural(ours.done + ours.crashes, "attempt")
        cause = bare(ours.cause or "")
        told = say(CRASHES, best=best, crashes=ours.crashes, attempts=attempts, cause=cause)
        return TuningVerdict(told, (), is_gain=False, family=family)
    if row is None or row.ratio is None or row.pair.n < FEWEST_PAIRS:
        n, pairs = (row.pair.n if row else 0), plural(confirmation.pairs, "pair")
        few = say(FEW, best=best, n=n, pairs=pairs, fewest=FEWEST_PAIRS)
        return TuningVerdict(few, (), is_gain=False, family=family)
    if row.finding is Claim.FASTER:
        rest = tuple(_of_the_others(family, searched.speed))
        answer = _said(GAIN, row.ratio, best=best)
        return TuningVerdict(answer, (say(CURSE), *rest), is_gain=True, family=family)
    pairs = plural(row.pair.n, "pair")
    measured = _said(MEASURED, row.ratio, best=best, pairs=pairs)
    answers = {
        Claim.SAME: say(SAME, best=best, margin=within(searched.margin)),
        Claim.SLOWER: _said(LOSES, row.ratio, best=best),
        Claim.UNKNOWN: say(NOISE),
    }
    return TuningVerdict(answers[row.finding], (measured,), is_gain=False, family=family)


def confirmed_pairs(confirmation: Confirmation, speed: str, best: str) -> Iterator[Pair]:
    """What is compared: what was to be made fast, then the other kinds that were measured."""
    ours, default = confirmation.best, confirmation.default
    for kind in (speed, *(other for other in SPEEDS if other != speed)):
        ratio = paired_ratio(ours.speeds.get(kind, {}), default.speeds.get(kind, {}))
        if ratio is not None:
            sides = Side(ours.cell_id, best), Side(default.cell_id, "the default")
            yield Pair(kind, *sides, n=_shared(ours, default, kind), ratio=ratio)


def _shared(one: Arm, other: Arm, kind: str) -> int:
    return len(one.speeds.get(kind, {}).keys() & other.speeds.get(kind, {}).keys())


def _of_the_others(family: Family, speed: str) -> Iterator[Sentence]:
    """What the gain is made of, and what it costs."""
    rows: list[Compared] = [row for row in family.rows if row.pair.what != speed]
    for row in rows:
        what = WHAT[row.pair.what]
        if row.ratio is not None and row.finding is Claim.FASTER:
            yield _said(FASTER, row.ratio, what=capital(what))
        elif row.ratio is not None and row.finding is Claim.SLOWER:
            yield _said(SLOWER, row.ratio, what=what)


def _said(template: str, ratio: Ratio, **places: object) -> Sentence:
    value, low, high = ends(ratio)
    return say(template, value=value, low=low, high=high, **places)
