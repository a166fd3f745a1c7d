"""What English is left on a Korean page, apart from what a Korean writes as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from html.parser import HTMLParser

from collect.run import RunManifest
from core.paths import PROJECT_FOLDER

WORD = re.compile(r"[A-Za-z]{2,}(?:['-][A-Za-z]+)*")
QUOTED = re.compile(r"“[^”]*”|'[^']*'|`[^`]*`|https?://\S+")
NO_WORDS = re.compile(r"\w+_\w+|…[^,]*|\b[0-9a-f]{8,}\b|\w*\d\w*|[\w-]+\.[a-z]{2,4}(?![A-Za-z])")
COUNTED_TWICE = re.compile(r"\d(개|대|회|번|명|층|점|초|분)\1")
"""A counter that a sentence writes behind a place which has it already."""
UNREAD = {"script", "style", "pre", "code"}
TERMS = """
s ms h min µs J W Wh kWh Hz MHz KiB MiB GiB MB GB kB Mbit Gbit tokens C b a c n p q T
ping CPU GPU API HTML CSV SVG PNG PDF RAPL NVML TTFT CV KV RPC RAM SSD HPL SHA UTC CUDA LoRA LLM
Amdahl McNemar Wilson Holm Karp-Flatt log nat ID DOI arXiv URL
kim lee ran sat judge gpt strip USD
llama-herd llama cpp distributed-llama distributed petals Petals openai net-turbo fab what-if watch
docs md yml csv npz experiments matrices systems groups on spans shares answers statistics
llvmpipe LLVM bits NVIDIA GeForce RTX package
ttft total each first herd electricity price energy until lang run-matrix
"""
"""Units, terms and names (of programs, files, settings) that a Korean writes as they are."""


class Words(HTMLParser):
    """The texts of a page, without code, scripts, answers, and titles of works that are cited."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._unread = 0
        self._answer = self._cited = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._cited |= tag == "ol" and ("class", "references") in attrs
        self._unread += tag in UNREAD
        self._answer = ("class", "answer") in attrs
        self.texts += [value or "" for name, value in attrs if name in {"aria-label", "title"}]

    def handle_endtag(self, tag: str) -> None:
        self._cited &= tag != "ol"
        self._unread -= tag in UNREAD
        self._answer = False

    def handle_data(self, data: str) -> None:
        if not self._unread and not self._answer and not self._cited:
            self.texts.append(data)


def names_of(manifest: RunManifest) -> set[str]:
    """Words of what a run and the published tables call their things."""
    run = json.loads(manifest.model_dump_json())
    for cell in run["cells"]:
        cell.pop("unavailable", None)
    texts = [json.dumps(run)]
    published = PROJECT_FOLDER / "analysis" / "published"
    texts += [path.read_text(encoding="utf-8") for path in published.iterdir() if path.is_file()]
    texts += [str(key) for facts in manifest.nodes.values() for key in facts]
    return words_in(re.sub(r"\\[nu]", " ", " ".join(texts)).replace("_", " "))


def words_in(text: str) -> set[str]:
    """English words, without hashes, what has digits in it, and names of files."""
    return set(WORD.findall(NO_WORDS.sub(" ", text)))


def left(texts: Iterable[str], names: set[str]) -> dict[str, str]:
    """English words that are no names, and counters written twice, each with a text that has it."""
    found: dict[str, str] = {}
    known = {*TERMS.split(), *names}
    for text in texts:
        if twice := COUNTED_TWICE.search(text):
            found.setdefault(twice[0], text.strip())
        for word in words_in(QUOTED.sub(" ", text)) - known:
            found.setdefault(word, text.strip())
    return found
