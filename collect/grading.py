"""Whether an answer is right by its question's key. docs/answers.md says the rules to users.

An answer is a text that may explain, decorate and go on. What it states is found first:

1. What a reasoning model thinks aloud (`<think>…</think>`) is no answer and falls away.
2. Where the text says which its answer is (`the answer is …`, `Answer: …`, `정답은 …`), what
   follows the last such words counts, up to the end of the sentence or line; else all of it.
3. `exact` and `regex`: the words, or a match of the pattern, occur and are not denied
   (`not Paris`, `파리가 아니라`).
4. `numeric`: one number is picked (`stated_number`) and compared.

It reads no meaning: who names two candidates has named the right one as well. Questions whose
answers could be so are no questions for a key.
"""

from __future__ import annotations

import re
import unicodedata

from collect.questions import AnswerKey
from collect.spoken_numbers import numbers_in

# Every run in a pattern is bounded, or cannot fail: small models say the same a thousand times.
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
_BOLD = re.compile(r"\*\*(.{1,400}?)\*\*", re.DOTALL)
_BRACKETED = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_SAYS_SO = re.compile(
    r"""\\boxed\s{0,9}\{
    | \#\#\#\#
    | \b(?:answer|result|solution)\b (?:\s{1,9}(?:to|of|for)\b[^.:=\n]{0,60}?)? \s{0,9}
      (?: (?:is|was|would\s{1,9}be|equals)\b | [:=] ) (?:\s{0,9}:)?
    | (?:정답|답|결과) \s{0,9} (?: [은는이가] (?=\s) | : ) (?:\s{0,9}:)?""",
    re.IGNORECASE | re.VERBOSE,
)
_ENDS = re.compile(r"[.!?。](?=\s|$)|\n|\}")
_DENIED_BEFORE = re.compile(
    r"(?:\b(?:not|never|neither|nor|rather than|instead of)|n't)[^\S\n]{1,9}"
    r"(?:(?!but\b)[\w'-]{1,40}[^\S\n]{1,9}){0,3}['\"]?\Z",
    re.IGNORECASE,
)
LONGEST_DENIAL = 200
"""Characters of what `_DENIED_BEFORE` matches, at most."""
_DENIED_AFTER = re.compile(r"['\"]?\s{0,9}(?:[은는이가도]\s{0,9})?(?:아니|아닙|아닌|말고)")
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019", "'"),
        **dict.fromkeys("\u201c\u201d", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        "\u2044": "/",
        "`": "",
        "$": "",
    }
)
"""Curly quotes, dashes and the minus sign as a keyboard has them; code and formula marks away."""
_ENDINGS = (
    "입니다|이에요|예요|이다|이며|이고|이란|이라고?|이야|이지|이었|에서|에게|에는|으로|부터|까지|처럼|"
    "라고|라는|특별시|이|가|은|는|을|를|의|에|와|과|도|로|요|시|산|대왕"
)
"""What Korean hangs onto a word: `서울입니다` holds the word 서울."""


def is_right(key: AnswerKey, answer: str) -> bool:
    """Whether an answer holds its key; an empty one never does."""
    text = _tidied(_THOUGHT.sub("", answer))
    if not text:
        return False
    if key.kind == "numeric":
        number = stated_number(answer)
        return number is not None and abs(number - float(key.value)) <= key.tolerance + 1e-9
    pattern = str(key.value) if key.kind == "regex" else _words(str(key.value))
    return _holds(_stated(text) or text, pattern)


def stated_number(answer: str) -> float | None:
    """The number that an answer states; None without one.

    In this order: the first after the words that say which the answer is (after a `=` there, if
    there is one); the one set in bold, if
    only one is; one that the text begins with, in a line or sentence that says no other; the last
    one, where those in brackets are remarks and count only if there are no others. Numbers in
    words (`twelve`) count where the text has none in digits.
    """
    raw = _THOUGHT.sub("", answer)
    text = _tidied(raw)
    stated = _stated(text)
    said = numbers_in(stated.rpartition("=")[2])[:1] if stated else []
    for found in (said, _alone(_bold(raw)), _alone(_opening(text))):
        if found:
            return found[0]
    numbers = numbers_in(_BRACKETED.sub(" ", text)) or numbers_in(text)
    return numbers[-1] if numbers else None


def _tidied(text: str) -> str:
    """Compatible forms made one (NFKC), signs of Markdown and LaTeX and outer blanks dropped."""
    plain = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    plain = re.sub(r"\\(?:text|mathrm|mathbf)\s{0,9}\{([^{}]*)\}", r"\1", plain)
    plain = re.sub(r"\\[()\[\],;!]|\*+|(?m:^#{1,3}\s)", "", plain)
    return re.sub(r"[^\S\n]+", " ", plain).strip()


def _words(value: str) -> str:
    """A pattern of these words in a row, not as part of longer ones."""
    words = r"\s{1,9}".join(re.escape(word) for word in _tidied(value).split())
    return rf"(?<!\w){words}(?!\w)|(?<!\w){words}(?=(?:{_ENDINGS})\b)"


def _stated(text: str) -> str | None:
    """What follows the last words that announce an answer, to the end of its sentence."""
    announced = list(_SAYS_SO.finditer(text))
    if not announced:
        return None
    rest = text[announced[-1].end() :].lstrip()
    end = _ENDS.search(rest)
    return (rest[: end.start()] if end else rest).strip() or None


def _bold(raw: str) -> str:
    return "\n".join(_tidied(bold) for bold in _BOLD.findall(raw))


def _opening(text: str) -> str:
    """The first sentence or line, where it begins with a figure."""
    if not re.match(r"[-+]?\d", text):
        return ""
    end = _ENDS.search(text)
    return text[: end.start()] if end else text


def _alone(text: str) -> list[float]:
    """The number of a text that has one value only."""
    numbers = numbers_in(text)
    return numbers[:1] if len(set(numbers)) == 1 else []


def _holds(text: str, pattern: str) -> bool:
    found = re.finditer(pattern, text, re.IGNORECASE)
    return any(not _is_denied(text, match) for match in found)


def _is_denied(text: str, match: re.Match[str]) -> bool:
    """The clause says that it is not this."""
    begin = max(0, match.start() - LONGEST_DENIAL)
    before = _DENIED_BEFORE.search(text, begin, match.start())
    return bool(before or _DENIED_AFTER.match(text, match.end()))
