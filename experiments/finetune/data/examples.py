"""Makes examples of documents: tokens, and on which of them the loss is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import HerdError
from experiments.finetune.data.chat_forms import Form
from experiments.finetune.data.documents import Document, Faults, Turn
from experiments.finetune.data.tokens import BaseTokens


@dataclass(frozen=True)
class Example:
    """What a model reads in one go.

    Attributes:
        document: which document or prompt it is of.
        text: what the model sees, as text.
        ids: the same as tokens.
        trained: of each token, whether the loss counts it as a target.
    """

    document: str
    text: str
    ids: tuple[int, ...]
    trained: tuple[bool, ...]


@dataclass
class Written:
    """Examples, and what became of long documents.

    Attributes:
        examples: in the order of the documents.
        cut: documents longer than the recipe's `sequence`.
        too_long: places of conversations without room for an answer, which are left out.
    """

    examples: list[Example]
    cut: int = 0
    too_long: tuple[str, ...] = ()


class ExampleWriter:
    """Makes examples for one base.

    Args:
        tokens: of the base.
        form: writes out conversations; None where the data has none.
        sequence: tokens of an example at most.
    """

    def __init__(self, tokens: BaseTokens, form: Form | None, sequence: int) -> None:
        self._tokens = tokens
        self._form = form
        self._sequence = sequence

    def write(self, documents: Sequence[Document], names: Sequence[str]) -> Written:
        """Make examples of documents.

        Args:
            documents: without control tokens of the base (`require_no_signs`).
            names: the name of each in its examples.
        """
        written = Written([])
        for document, name in zip(documents, names, strict=True):
            if document.turns:
                self._add_conversation(document, name, written)
            else:
                self._add_text(document, name, written)
        return written

    def _add_text(self, document: Document, name: str, written: Written) -> None:
        end = self._tokens.ends[:1] if self._tokens.puts_end else ()
        pieces = self._tokens.windows(document.text, self._sequence - len(end))
        for number, piece in enumerate(pieces, 1):
            ids = self._tokens.encode(piece)
            if number == len(pieces):
                ids += end
            begins = max(1, len(self._tokens.begin))
            trained = (*[False] * begins, *[True] * (len(ids) - begins))
            written.examples.append(Example(name, piece, ids, trained))
        written.cut += len(pieces) > 1

    def _add_conversation(self, document: Document, name: str, written: Written) -> None:
        text, ids, trained = self._conversation(document.turns)
        if len(ids) > self._sequence:
            written.cut += 1
            ids, trained = ids[: self._sequence], trained[: self._sequence]
            text = self._tokens.decode(tuple(ids[self._begins(text) :]))
        if any(trained):
            written.examples.append(Example(name, text, tuple(ids), tuple(trained)))
        else:
            written.too_long = (*written.too_long, document.place)

    def _conversation(self, turns: Sequence[Turn]) -> tuple[str, list[int], list[bool]]:
        """Text, tokens and loss mask: answers and their ends count, all else is given."""
        text, ids, trained = "", list[int](), list[bool]()
        for number, turn in enumerate(turns):
            if turn.role != "assistant":
                continue
            asked = self._written_on(turns[:number], text)
            given = self._tokens.encode_more(text, asked) if text else self._tokens.encode(asked)
            ids += given
            trained += [False] * len(given)
            text += asked
            answer = self._written_on(turns[: number + 1], text)
            said = list(self._tokens.encode_more(text, answer))
            text += answer
            ends = [at for at, token in enumerate(said) if token in self._tokens.ends]
            if not ends and number == len(turns) - 1:
                text += self._tokens.shown(self._tokens.ends[0])
                said.append(self._tokens.ends[0])
                ends = [len(said) - 1]
            ids += said
            last = ends[0] if ends else len(said) - 1
            trained += [at <= last for at in range(len(said))]
        return text, ids, trained

    def _written_on(self, turns: Sequence[Turn], before: str) -> str:
        """What the form adds to the text before, for these turns."""
        if self._form is None:
            raise HerdError("Conversations need a form in which they are written out.")
        whole = self._form(turns)
        if not whole.startswith(before):
            raise HerdError(
                "The chat template writes earlier turns of a conversation differently when "
                "further ones follow, so it cannot be said what is an answer in it. Give "
                "conversations of one question and one answer."
            )
        return whole[len(before) :]

    def _begins(self, text: str) -> int:
        """How many tokens before a text are not part of it."""
        begin = self._tokens.begin
        return 0 if begin and text.startswith(self._tokens.shown(begin[0])) else len(begin)


def require_no_signs(documents: Sequence[Document], signs: Sequence[str], model: str) -> None:
    """Refuse texts that hold the text of a control token: it would be read as that token.

    Raises:
        HerdError: with the first places.
    """
    faults = Faults()
    for document in documents:
        found = next((sign for sign in signs if sign in document.whole), None)
        if found is not None:
            faults.add_at(
                document.place, f"it contains `{found}`, which {model} reads as a sign, not as text"
            )
    faults.require_none()
