"""A Korean report has no English left but names, code, quoted messages and what users wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from matplotlib.text import Text

from analysis.charts.languages import in_language
from analysis.pages import Page, render
from analysis.study import Study
from analysis.text.sentence import verbatim
from analysis.within import charts_in
from core.language.choice import speaking
from core.paths import PROJECT_FOLDER
from tests.doubles.shared_kinds import ALL_KINDS, sections_of_kind, study_of_kind

WORD = re.compile(r"[A-Za-z]{2,}(?:['-][A-Za-z]+)*")
QUOTED = re.compile(r"“[^”]*”|'[^']*'|`[^`]*`|https?://\S+")
NO_WORDS = re.compile(r"\w+_\w+|…[^,]*|\b[0-9a-f]{8,}\b|\w*\d\w*|[\w-]+\.[a-z]{2,4}(?![A-Za-z])")
UNREAD = {"script", "style", "pre", "code"}
TERMS = """
s ms h min µs J W Wh kWh Hz MHz KiB MiB GiB MB GB kB Mbit Gbit tokens C b a c n p q T
CPU GPU API HTML CSV SVG PNG PDF RAPL NVML TTFT CV KV RPC RAM SSD HPL SHA UTC CUDA LoRA LLM
Amdahl McNemar Wilson Holm Karp-Flatt log nat ID DOI arXiv URL
kim lee ran sat judge gpt strip USD
llama-herd llama cpp distributed-llama distributed petals Petals openai net-turbo fab what-if
docs md yml csv npz experiments matrices systems groups on spans shares answers statistics
llvmpipe LLVM bits NVIDIA GeForce RTX package
ttft total each first herd electricity price energy until lang run-matrix
"""
"""Units, terms and names (of programs, files, settings) that a Korean writes as they are."""


class Words(HTMLParser):
    """The texts of a page, without code and scripts, and without answers."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._unread = 0
        self._answer = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unread += tag in UNREAD
        self._answer = ("class", "answer") in attrs
        self.texts += [value or "" for name, value in attrs if name in {"aria-label", "title"}]

    def handle_endtag(self, tag: str) -> None:
        self._unread -= tag in UNREAD
        self._answer = False

    def handle_data(self, data: str) -> None:
        if not self._unread and not self._answer:
            self.texts.append(data)


def _names(study: Study) -> set[str]:
    """Words of what a run and the published tables call their things."""
    run = json.loads(study.run.model_dump_json())
    for cell in run["cells"]:
        cell.pop("unavailable", None)
    texts = [json.dumps(run)]
    published = PROJECT_FOLDER / "analysis" / "published"
    texts += [path.read_text(encoding="utf-8") for path in published.iterdir() if path.is_file()]
    texts += [str(key) for facts in study.run.nodes.values() for key in facts]
    return _words(re.sub(r"\\[nu]", " ", " ".join(texts)).replace("_", " "))


def _words(text: str) -> set[str]:
    """English words, without hashes, what has digits in it, and names of files."""
    return set(WORD.findall(NO_WORDS.sub(" ", text)))


def _left(texts: Iterator[str] | list[str], names: set[str]) -> dict[str, str]:
    """English words that are no names, each with a text that has it."""
    found: dict[str, str] = {}
    known = {*TERMS.split(), *names}
    for text in texts:
        for word in _words(QUOTED.sub(" ", text)) - known:
            found.setdefault(word, text.strip())
    return found


def _drawn(kind: str) -> Iterator[str]:
    """The words on the charts of a run."""
    for chart in charts_in(sections_of_kind(kind)):
        figure = chart.draw()
        with speaking("ko"), in_language(figure):
            yield from (text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_korean_report_has_no_english_left(kind: str) -> None:
    study, sections = study_of_kind(kind), sections_of_kind(kind)
    drawings = {f"{chart.name}.ko": "" for chart in charts_in(sections)}
    page = Page(verbatim(study.run.title), study.run.run, sections, drawings, languages=("ko",))
    names = _names(study)
    assert _left(Words(render(page, "html")).texts, names) == {}
    assert _left(list(_drawn(kind)), names) == {}
