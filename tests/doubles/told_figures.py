"""The figures that sentences of a report name, and where the files next to it have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from string import Formatter

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.blocks import Bullets, Card, Charted, Figures, Prose, Section, Tabled, Tally
from analysis.text.sentence import Sentence
from analysis.text.wording import DASH, TIMES, count
from analysis.within import blocks_in, charts_in, files_in

Values = npt.NDArray[np.float64]
WORDS = {count(n): n for n in range(1, 17)}
BLANKS = re.compile("[\u202f\u00a0]")
NUMBER = re.compile(
    r"(?<![\w.+])(?:\d{1,3}(?:[\u202f\u00a0]\d{3})+|\d+)(?:\.\d+)?(?!\w)"
    rf"|\b(?:{'|'.join(WORDS)})\b",
    re.IGNORECASE,
)
DURATION = re.compile(r"(?:(?:\d+ days? )?\d+ h(?: \d+ min)?|\d+ min(?: \d+ s)?)(?! \d+\.)")
SECONDS = {"day": 86_400, "days": 86_400, "h": 3600, "min": 60, "s": 1}
BETWEEN = re.compile(
    rf"[\d.{DASH}]*, (?:which covers )?\d+ %\)|"
    rf"[{DASH}\s,]*(?:[\d.]+|[\d.{DASH}]*\)|\(one value\)|"
    rf"\((?:range |95 %: |range of \d+ values: )?[\d.]+{DASH}[\d.]+[^()]*\)|"
    rf"\b(?:to|and|or|of) [\d.]+)"
)
"""What may be between a figure and its unit: its interval, and further figures with the same."""
SHARES = (
    r"share|cover|effic|variation|change|error|serial|resid|left_out|overlap|noise|agree|accuracy|"
    r"before-after|gained|tuned\.|limits\.|terms\.|cost-model|link-use|links\.|plan\.|published|"
    r"fitted|laws\.|perplexity"
)
RATES = (
    r"tokens_per_s|(?:rate|machine|length|sets|ways).*\.(?:value|low|high)|"
    r"at-once\.(?:one|all|slow|over)|apart|user|limits\."
)
RATIOS = (
    r"ratio|times|speed.up|of_(?:base|before|short|together)|against|from_users|"
    r"limits\.|comparisons|users\.|before-after|noise-arms"
)
MONEY = r"j_|watts|wh|million|1000|bill|cost|lowest|highest|trial_j|energy"
TIMES_MS = r"_ms|\.ms\b|(?:time|laws|length).*\.(?:low|high|value)|per_1000|position"
NODES = r"nodes\b|pays_up|left_out_nodes|residual_nodes"
SECONDS_OR_MS = r"_s\b|_s_low|_s_high|first_token|seconds|_ms\b|plan\."
UNITS: Sequence[tuple[str, str, str]] = (
    (r"%|points", SHARES, ""),
    (r"tokens/s", RATES, ""),
    (rf"(?:times|{TIMES})", RATIOS, ""),
    (r"ms", TIMES_MS, ""),
    (r"s\b", SECONDS_OR_MS, ""),
    (r"(?:KiB|MiB|Mbit)", r"kib|mib|mbit|limits", ""),
    (r"(?:J|W|Wh|USD|EUR)\b", MONEY, ""),
    (r"tokens?\b", r"token|position|read|generated|plan\.", "^$"),
    (r"nodes?\b", NODES, r"^nodes$"),
    (r"numbers of nodes", r"plan\.", r"^laws-over-nodes$"),
    (r"machines?\b|raspberry", r"machines|nodes\b", r"machine|^nodes$"),
    (r"(?:trial|repeat)s?\b", r"trials|repeats|plan\.|\.n$", r"^timeline$"),
    (r"attempts?\b", r"attempts|limits\.", r"^(?:timeline|failures)$"),
    (r"positions?\b", r"position|plan\.", ""),
    (r"(?:\w+ )?cells?\b", r"cells\b|trials_done|plan\.", r"^(?:cells|cost-model|stability)$"),
    (r"comparisons?\b", "^$", r"^comparisons$"),
    (r"figures\b", "^$", r"^published$"),
    (r"facts?\b", "^$", r"^nodes$"),
    (r"(?:more )?series\b", r"series|plan\.", r"^(?:cells|scaling-laws)$"),
    (r"questions?\b", r"quest|\.of$|plan\.|count", r"^(?:questions|answers)$"),
)
"""Pattern of what follows a figure, then of columns that have it, of files whose rows it counts."""
SUMMED = r"trials|attempts|done|planned|tokens|questions|pairs|documents|first|right"
"""Columns whose sums are told."""
NO_NAMES = (
    "value", "fact", "law", "verdict", "state", "kind", "outcome", "result", "line", "reason",
    "describes", "odd", "why", "decode_of_shortest_verdict", "of_base_verdict",
    "of_before_verdict", "Outcome", "Cause", "apart_is", "note", "source", "where", "sentence",
    "is_knee", "workload",
)  # fmt: skip
"""Columns of text that name nothing that a row is about."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a sentence: as it is written, its unit, and the whole sentence."""

    written: str
    after: str
    sentence: str

    @property
    def value(self) -> float:
        """It as a number."""
        plain = BLANKS.sub("", self.written.lower())
        return float(WORDS.get(plain, plain))

    @property
    def half(self) -> float:
        """Half of its last digit."""
        return 0.5 * 10.0 ** -len(self.written.partition(".")[2]) * 1.001


def sentences_of(made: Iterable[Section]) -> Iterator[str]:
    """Every sentence of some sections: headlines, prose, notes, warnings and key figures.

    Not those on folds, which count what is in them.
    """
    for section in made:
        yield section.title
        for block in blocks_in(section):
            yield from _sentences(block)


def _sentences(block: object) -> tuple[str, ...]:
    told: tuple[str, ...] = ()
    match block:
        case Prose():
            told = block.sentences
        case Bullets():
            told = block.items
        case Tabled():
            told = block.notes
        case Charted():
            told = (block.chart.understanding, *block.footnotes)
        case Figures():
            told = tuple(f"{one.value} {one.unit} {one.about}" for one in block.figures)
        case Tally():
            told = (block.rest,)
        case Card():
            told = block.facts
    return told


def _parts(text: object, form: str = "") -> Iterator[tuple[str, bool]]:
    """Pieces of a sentence, each with whether it fills a place: the rest is of the template."""
    if not isinstance(text, Sentence):
        yield format(text, form), True
        return
    for literal, name, spec, _ in Formatter().parse(text.template):
        yield literal, False
        if name is not None:
            yield from _parts(text.places[name], spec or "")


class Files:
    """The files next to a report."""

    def __init__(self, made: Sequence[Section]) -> None:
        """Take them from the sections of the report."""
        self.frames = {file.stem: file.data for file in files_in(made)}
        self.frames |= {chart.name: chart.data for chart in charts_in(made)}
        self.parts = {stem: Frame(data) for stem, data in self.frames.items()}
        self.names = sorted(self._names(), key=len, reverse=True)
        names = "|".join(map(re.escape, self.names)) or "(?!)"
        self._pattern = re.compile(rf"(?<!\w)(?:{names})(?!\w)")

    def _names(self) -> set[str]:
        """The names in the files that have a number in them."""
        told = {str(name) for frame in self.frames.values() for name in frame.columns}
        told |= {text.rstrip(".") for frame in self.parts.values() for text in frame.all_texts}
        plain = re.compile(r"\d+(?:\.\d+)?|\w+")
        return {one for one in told if NUMBER.search(one) and not plain.fullmatch(one)} | {
            one for one in told if re.fullmatch(r"[A-Za-z_]+\d\w*", one)
        }

    def figures_of(self, sentence: str) -> Iterator[Figure]:
        """The figures that fill places of a sentence and are no part of a name in a file."""
        parts = list(_parts(sentence))
        whole = "".join(text for text, _ in parts)
        is_place = [place for text, place in parts for _ in text]
        rest = self._pattern.sub(lambda name: " " * len(name[0]), whole)
        rest = DURATION.sub(self._duration, rest)
        for found in NUMBER.finditer(rest):
            if all(is_place[found.start() : found.end()]):
                is_ratio = rest[: found.start()].endswith(f"{TIMES} ")
                yield Figure(found[0], (TIMES if is_ratio else "") + rest[found.end() :], whole)

    def _duration(self, found: re.Match[str]) -> str:
        """Blank a duration that a file has in seconds."""
        pairs = re.findall(r"(\d+) (days?|h|min|s)", found[0])
        seconds = sum(int(number) * SECONDS[unit] for number, unit in pairs)
        unit = SECONDS[pairs[-1][1]]
        values = self._values(r"seconds|_s$|plan\.value", "")
        is_there = (np.abs(values - seconds) <= unit).any()
        return " " * len(found[0]) if is_there else found[0]

    def has(self, figure: Figure) -> bool:
        """Whether a file has the figure, rounded as it is shown, or it follows from one simply."""
        columns, counted = _unit(figure)
        values = self._values(columns, figure.sentence)
        told = _told(columns, values)
        told = (*told, *_quotients(figure)) if columns == SHARES else told
        if any((np.abs(one - figure.value) <= figure.half).any() for one in told):
            return True
        is_whole = "." not in figure.written
        counts = self._counts(columns, counted) if is_whole else set()
        if re.match(r"\s*more\b", figure.after):  # than those that it names
            counts = {count - named for count in counts for named in range(1, 10)}
        return figure.value in counts

    def _values(self, columns: str, sentence: str) -> Values:
        found: list[Values] = [np.empty(0)]
        for stem, frame in self.parts.items():
            fit = [one for name, one in frame.numbers.items() if _fits(columns, f"{stem}.{name}")]
            rows = frame.about(sentence) if fit and sentence else slice(None)
            found += [one[rows] for one in fit]
        values = np.unique(np.concatenate(found))
        return values[np.isfinite(values) & (values != 0)]

    def _counts(self, columns: str, counted: str) -> set[float]:
        """Sums of whole numbers, and how many rows there are, of each kind and all together."""
        found: set[float] = set()
        for stem, frame in self.parts.items():
            if counted and _fits(counted, stem):
                found |= frame.counts
            found |= {
                float(np.nansum(one))
                for name, one in frame.numbers.items()
                if _fits(SUMMED, name) and _fits(columns, f"{stem}.{name}")
            }
        return found


def _fits(pattern: str, name: str) -> bool:
    return re.search(pattern, name, re.IGNORECASE) is not None


def _unit(figure: Figure) -> tuple[str, str]:
    """Which columns may have a figure, and which files' rows it may count: by what follows it."""
    rest = figure.after
    while not re.match(r"\s*%", rest) and (skipped := BETWEEN.match(rest)):
        rest = rest[skipped.end() :]
    for pattern, columns, counted in UNITS:
        if re.match(rf"\s*(?:{pattern})", rest, re.IGNORECASE):
            return columns, counted
    return (NODES + r"|plan\.", "") if figure.written.lower() in WORDS else (".", "")


def _told(columns: str, values: Values) -> tuple[Values, ...]:
    """The ways in which a sentence tells a figure of a file: a share as a percentage, and so on."""
    if columns == SHARES:
        return 100 * values, 100 * (values - 1), -100 * values
    if columns == SECONDS_OR_MS:
        return values, values / 1000
    return (values, 1 / values) if columns == RATIOS else (values, -values)


def _quotients(figure: Figure) -> Iterator[Values]:
    """Each “x of y” of a sentence as a percentage; both are looked for, too."""
    for part, whole in re.findall(r"([\d.]+) of ([\d.]*[1-9])", figure.sentence):
        yield np.array([100 * float(part.rstrip(".")) / float(whole.rstrip("."))])


def _numbers(column: pd.Series) -> Values:
    told = pd.to_numeric(column, errors="coerce")
    return told.to_numpy(dtype=float, na_value=np.nan)


class Frame:
    """A file: its columns of numbers, the texts of its rows, and what may be counted in it."""

    def __init__(self, data: pd.DataFrame) -> None:
        """Take it apart once: many figures are looked for."""
        self.numbers = {str(name): _numbers(data[name]) for name in data.columns}
        texts = {
            str(name): pd.factorize(data[name].fillna("").astype(str))
            for name in data.columns
            if not pd.api.types.is_numeric_dtype(data[name])
        }
        self.all_texts = {str(one) for _, found in texts.values() for one in found}
        self.texts = [told for name, told in texts.items() if name not in NO_NAMES]
        self.counts = {float(len(data))}
        for name in data.columns:
            column = data[name].astype(str)
            self.counts |= {*map(float, column.value_counts()), float(column.nunique()),
                            float(data[name].notna().sum())}  # fmt: skip
        self.size = len(data)

    def about(self, sentence: str) -> npt.NDArray[np.bool_]:
        """The rows of which a sentence names the most; all where it names none."""
        named = np.zeros(self.size, dtype=int)
        for codes, texts in self.texts:
            told = np.array([one != "" and one in sentence for one in texts], dtype=int)
            named += told[codes]
        return named == named.max(initial=0)
