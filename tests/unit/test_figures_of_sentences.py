"""Figures of sentences are in files next to the report, and verdicts follow from such files."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pandas as pd
import pytest

from analysis.blocks import Section
from analysis.cells.family import LEVEL, Claim
from analysis.cells.planned import RULES
from analysis.sections import sections_of
from analysis.statistics.stats import FEWEST, Ratio, range_coverage
from analysis.statistics.stats import LEVEL as COVERED
from analysis.study import study_of
from analysis.text.wording import ratio
from collect.account import Account
from collect.tables import tables_of
from tests.doubles.shared_kinds import ALL_KINDS, sections_of_kind
from tests.doubles.told_figures import BLANKS, WORDS, Figure, Files, sentences_of
from tests.unit.test_stored_runs import NAMES, STORED

ALL = (*ALL_KINDS, *NAMES)
MARGIN = "relative difference that counts as none"


def _sections(kind: str) -> tuple[Section, ...]:
    if kind not in NAMES:
        return sections_of_kind(kind)
    account = Account.read(STORED / kind)
    study = study_of(account.manifest, tables_of(account), warnings=account.warnings)
    return tuple(sections_of(study))


@cache
def _made(kind: str) -> tuple[tuple[str, ...], Files]:
    """The sentences of a report of a run, each once, and the files next to it."""
    made = _sections(kind)
    return tuple(dict.fromkeys(sentences_of(made))), Files(made)


@pytest.mark.parametrize("kind", ALL)
def test_every_figure_is_in_a_file(kind: str) -> None:
    sentences, files = _made(kind)
    lost = [
        (figure.written, sentence)
        for sentence in sentences
        for figure in files.figures_of(sentence)
        if not files.has(figure)
    ]
    assert lost == []


def _changed(figure: Figure) -> Figure:
    plain = BLANKS.sub("", figure.written.lower())
    if "." in plain:
        decimals = len(plain.partition(".")[2])
        return replace(figure, written=f"{1.07 * float(plain):.{decimals}f}")
    return replace(figure, written=str(3 * int(WORDS.get(plain, plain)) + 7))


def test_a_figure_that_is_changed_is_mostly_in_no_file() -> None:
    """The test before this one finds most mistakes: it is not true of any figure."""
    missed: Counter[bool] = Counter()
    tried: Counter[bool] = Counter()
    for kind in ("several nodes", "laws", "questions", "cost model", "named machines", "on disk"):
        sentences, files = _made(kind)
        for sentence in sentences:
            for figure in map(_changed, files.figures_of(sentence)):
                is_decimal = "." in figure.written
                tried[is_decimal] += 1
                missed[is_decimal] += files.has(figure)
    assert missed[True] < 0.25 * tried[True]
    assert missed[False] < 0.45 * tried[False]


def _file(files: Files, stem: str) -> pd.DataFrame:
    """A file as it is read again."""
    found = [frame for name, frame in files.frames.items() if name.endswith(stem)]
    frames = [pd.read_csv(io.StringIO(frame.to_csv(index=False))) for frame in found]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _verdict(row: dict[str, object], margin: float) -> str:
    """What the figures of a row of `comparisons.csv` allow to say."""
    n, found, low, high, p = (
        float(str(row[name])) for name in ("n", "ratio", "low", "high", "p_adjusted")
    )
    if pd.isna(p) or ("why" in row and pd.notna(row["why"])):
        return Claim.UNKNOWN
    if n >= FEWEST and 1 / (1 + margin) <= low and high <= 1 + margin:
        return Claim.SAME
    if p >= LEVEL:
        return Claim.UNKNOWN
    return Claim.FASTER if found > 1 else Claim.SLOWER


def _comparisons(files: Files) -> list[dict[str, object]]:
    rows = [
        {str(k): v for k, v in row.items()}
        for row in _file(files, "comparisons").to_dict("records")
    ]
    return [row for row in rows if pd.notna(row["ratio"])]


def _margin(files: Files) -> float:
    facts = _file(files, "plan").set_index("fact")["value"]
    return float(str(facts[MARGIN] if isinstance(facts[MARGIN], str) else facts[MARGIN].iloc[0]))


@pytest.mark.parametrize("kind", ALL)
def test_every_verdict_follows_from_the_figures_of_its_row(kind: str) -> None:
    _, files = _made(kind)
    for row in _comparisons(files):
        assert row["verdict"] == _verdict(row, _margin(files)), row


def _ratios(row: dict[str, object]) -> Iterator[tuple[str, Claim]]:
    """A comparison's ratio as sentences write it, both ways round, with the verdict of each."""
    n = int(str(row["n"]))
    value, low, high = (float(str(row[name])) for name in ("ratio", "low", "high"))
    ends = (None, None) if pd.isna(low) else (low, high)
    covered = COVERED if n >= FEWEST else range_coverage(max(1, n))
    found = Ratio(value, *ends, (value,) * max(1, n), covered, tuple(range(n)))
    claim = Claim(str(row["verdict"]))
    for one, said in ((found, claim), (found.inverse(), claim.turned)):
        for brief in (True, False):
            yield ratio(one, brief=brief), said


SAID = (
    (re.compile(r"unclear|cannot be|not known"), {Claim.UNKNOWN}),
    (re.compile(r"within ±"), {Claim.SAME}),
    (re.compile(r"\b(?:is|are|and) slower"), {Claim.SLOWER}),
    (re.compile(r"times as fast"), {Claim.FASTER, Claim.SLOWER}),
)
"""What words of a clause say of the ratio in it."""


@pytest.mark.parametrize("kind", ALL)
def test_the_words_of_a_clause_are_those_of_the_comparison_whose_ratio_it_has(kind: str) -> None:
    sentences, files = _made(kind)
    claims: dict[str, set[Claim]] = {}
    for row in _comparisons(files):
        for text, claim in _ratios(row):
            claims.setdefault(text, set()).add(claim)
    for sentence in sentences:
        for clause in re.split(r"[;.] ", sentence):
            for text, said in claims.items():
                if f"{text} times" in clause:
                    allowed = next((kinds for word, kinds in SAID if word.search(clause)), None)
                    assert allowed is None or allowed & said, (clause, said)


def test_verdicts_of_all_kinds_were_looked_at() -> None:
    found = {str(row["verdict"]) for kind in ALL_KINDS for row in _comparisons(_made(kind)[1])}
    assert found == {str(one) for one in Claim}


@pytest.mark.parametrize("kind", ALL)
def test_what_limits_a_cell_follows_from_its_share(kind: str) -> None:
    _, files = _made(kind)
    rows = _file(files, "limits").to_dict("records")
    for row in rows:
        if row["what"] in ("computing", "waiting", "computing and waiting"):
            expected = "computing" if row["high"] < 0.5 else "waiting"
            if row["low"] < 0.5 <= row["high"]:
                expected = "computing and waiting"
            assert row["what"] == expected, row


def test_rules_are_numbers() -> None:
    assert all(value > 0 for value in RULES.values())
