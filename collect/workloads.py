"""What a cell is asked to do: the workloads of a matrix, as a run stores them."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from collect.documents import LONGEST, SHORTEST, DocumentPart, LeftOut
from collect.questions import Question
from core.record import Record

FEWEST_TOKENS, MOST_TOKENS = 2, 4096
"""Of a prompt, and of what is generated after it."""
DECODE_AXIS, AFTER_PROMPT, FROM_EMPTY = "decode", "after_prompt", "from_empty"
"""Axis of engines whose benchmark can generate after the prompt or from an empty context."""
PROMPT_AXES = ("prompt_tokens", "generate_tokens")
"""Axes that are fields of a benchmark: a cell that has them has its own numbers."""


class Benchmark(Record):
    """Fixed token counts: read a prompt, then generate.

    Attributes:
        prompt_tokens: tokens of the prompt, beginning-of-sequence included.
        generate_tokens: tokens generated after it.
    """

    kind: Literal["benchmark"] = "benchmark"
    prompt_tokens: int = Field(default=32, ge=FEWEST_TOKENS, le=MOST_TOKENS)
    generate_tokens: int = Field(default=64, ge=FEWEST_TOKENS, le=MOST_TOKENS)


class Perplexity(Record):
    """How well a model predicts a text.

    Attributes:
        text: path of a UTF-8 text file, relative to the project.
        characters: how much of it, from its beginning.
        context_tokens: length of the windows that llama.cpp cuts it into (it needs two at
            least); distributed-llama reads the text as one.
    """

    kind: Literal["perplexity"] = "perplexity"
    text: str
    characters: int = Field(default=800, ge=16, le=100_000)
    context_tokens: int = Field(default=64, ge=8, le=4096)


class Questions(Record):
    """Chat answers: every question once, one after the other, each in its own conversation.

    Attributes:
        file: path of a YAML file of questions, relative to the project (`collect.questions`).
        asked: its questions as they were when the run was planned; a user does not write them.
        max_tokens: after that many an answer is cut off.
        temperature: of the sampler; 0 takes the likeliest token.
        seed: of the sampler.
        system: the system prompt before every question; None for nothing.
        chat_template: how a conversation is written out: `model` as the model says, or a named
            one for models that do not say.
        silence_s: a server that says nothing for so long will not answer, in seconds.
    """

    kind: Literal["questions"] = "questions"
    file: str
    asked: tuple[Question, ...] = ()
    max_tokens: int = Field(default=128, ge=1, le=8192)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    seed: int = Field(default=1, ge=0, le=2**31 - 1)
    system: str | None = None
    chat_template: Literal["model", "llama2", "llama3"] = "model"
    silence_s: float = Field(default=300.0, ge=1.0, le=86_400.0)


def _as_engines_read_it(text: str) -> str:
    is_plain = text.isascii() and text.isprintable() and all(text.split(" "))
    if len(text) > _LONGEST_LINE or not is_plain:
        raise ValueError(
            "it must be ASCII words with single spaces between them, on one line of at most "
            f"{_LONGEST_LINE} characters: engines split other texts differently"
        )
    return text


_LONGEST_LINE = 4000
Line = Annotated[str, AfterValidator(_as_engines_read_it)]
"""One line of printable ASCII with single spaces: every engine reads it as the same tokens."""


class Greedy(Record):
    """Greedy generation, compared with the reference implementation.

    Repeat k of a cell continues prompt k; the last repeat scores the text, token by token.

    Attributes:
        prompts: beginnings of texts.
        positions: tokens that the model reads, those of the prompt and those it generates
            together; a prompt of n tokens gets positions - n + 1 new ones.
        text: is scored: the probability of each token after those before it.
    """

    kind: Literal["greedy"] = "greedy"
    prompts: tuple[Line, ...] = Field(min_length=1, max_length=999)
    positions: int = Field(default=72, ge=8, le=4096)
    text: Line

    @property
    def repeats(self) -> int:
        """Trials of a cell: one for each prompt, and one for the text."""
        return len(self.prompts) + 1

    def prompt(self, repeat: int) -> str | None:
        """The prompt of a repeat (from 1); None for the repeat that scores the text."""
        return self.prompts[repeat - 1] if repeat <= len(self.prompts) else None


class Documents(Record):
    """How well a model predicts documents: bits per byte of each.

    Repeat k of a cell scores part k, token by token, as `Greedy` scores its text.

    Attributes:
        file: path of a file of documents, relative to the project (`collect.documents`).
        count: how many parts of documents are scored at most, one in each trial of a cell.
        characters: of each part at most; the rest of its text is cut off.
        scored: the parts as they were when the run was planned; a user does not write them.
        left_out: what of the file is not scored; a user does not write it.
    """

    kind: Literal["documents"] = "documents"
    file: str
    count: int = Field(default=40, ge=1, le=999)
    characters: int = Field(default=600, ge=SHORTEST, le=LONGEST)
    scored: tuple[DocumentPart, ...] = ()
    left_out: LeftOut = LeftOut()

    def part(self, repeat: int) -> DocumentPart:
        """The part that a repeat (from 1) scores. Raises IndexError when there is none."""
        return self.scored[repeat - 1]


_Workload = Benchmark | Perplexity | Questions | Greedy | Documents
WORKLOADS: tuple[type[Record], ...] = get_args(_Workload)
Workload = Annotated[_Workload, Field(discriminator="kind")]
