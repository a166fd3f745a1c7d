"""An answer, as it comes in pieces."""

from __future__ import annotations

import time
from typing import Any

from herd_ask.ground import LONGEST_WORD, AnswerError, Odd, count_of, parsed
from herd_ask.server import HIDDEN, Server

DONE = b"[DONE]"
OTHER_ANSWERS = range(1, 128)
"""Numbers of answers after the first, as OpenAI allows; dllama-api has any number there."""


class Answer:
    """What came so far of an answer; `record` is what is written."""

    def __init__(self, question_id: object, server: Server) -> None:
        self.complete = False
        self._server = server
        self._probabilities: list[Any] = []
        self._pieces: list[list[Any]] = []
        self.record: dict[str, Any] = {
            "id": question_id,
            "url": server.url,
            "proxy": server.proxy.name if server.proxy else None,
            "status": None,
            "connect_s": None,
            "sent_s": None,
            "first_byte_s": None,
            "first_piece_s": None,
            "last_piece_s": None,
            "done_s": None,
            "pieces": self._pieces,
            "text": "",
            "refusal": None,
            "finish_reason": None,
            "usage": None,
            "left_out": [],
            "timings": None,
            "probabilities": None,
            "model": None,
            "system_fingerprint": None,
            "headers": {},
            "earlier": [],
            "replayed": False,
            "error": None,
        }

    @property
    def begun(self) -> bool:
        """Whether a piece of it came."""
        return bool(self._pieces or self.record["refusal"])

    def stamp(self, moment: str) -> None:
        """Write down that a moment is now."""
        self.record[moment] = time.monotonic()

    def take(self, data: bytes) -> None:
        """One event of the stream. Raises AnswerError if it cannot be understood."""
        now = time.monotonic()
        if data == DONE:
            self.complete = True
        if data in (DONE, b""):  # the latter is a sign of life
            return
        try:
            event = parsed(data)
        except ValueError:
            raise AnswerError(f"a chunk is no JSON: {self._shown(data)}") from None
        if not isinstance(event, dict):
            raise AnswerError(f"a chunk is no object: {self._shown(data)}")
        if event.get("error"):
            raise AnswerError(f"the server broke off: {told(event, self._server)}")
        try:
            self._read(event, now)
        except (AttributeError, TypeError):
            raise AnswerError(f"a chunk is not as agreed: {self._shown(data)}") from None

    def _shown(self, data: bytes) -> str:
        return shortened(data, self._server)

    def _read(self, event: dict[str, Any], now: float) -> None:
        if event.get("usage"):
            self.record["left_out"] = []
            self.record["usage"] = counted(event["usage"], self.record["left_out"])
        if event.get("timings"):
            self.record["timings"] = _timings(event["timings"])
        for name in ("model", "system_fingerprint"):
            self.record[name] = _word(event.get(name)) or self.record[name]
        if "content" in event:  # llama-server's own
            self._piece(event["content"], now)
            self._probable(event.get("completion_probabilities"))
            if event.get("stop"):
                self.complete = True
                self.record["finish_reason"] = _word(event.get("stop_type"))
        for choice in event.get("choices") or []:
            if choice.get("index") in OTHER_ANSWERS:
                raise AnswerError("the server gives several answers, and was asked for one")
            delta = choice.get("delta") or {}
            self._piece(delta.get("content") or choice.get("text"), now)
            if delta.get("refusal"):
                self.record["refusal"] = (self.record["refusal"] or "") + delta["refusal"]
            self._probable((choice.get("logprobs") or {}).get("content"))
            reason = _word(choice.get("finish_reason")) or self.record["finish_reason"]
            self.record["finish_reason"] = reason

    def _probable(self, told: Any) -> None:  # noqa: ANN401 - whatever JSON holds
        if not told:
            return
        if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
            raise TypeError
        self._probabilities += told

    def _piece(self, text: str | None, now: float) -> None:
        if not text:
            return
        if not isinstance(text, str):
            raise TypeError
        if not self._pieces:
            self.record["first_piece_s"] = now
        self.record["last_piece_s"] = now
        self._pieces.append([now, text])

    def uncounted(self) -> str | None:
        """Why what it cost cannot be reckoned; None if it can, or the server counts nothing."""
        odd = [
            words
            for words in self.record["left_out"]
            if words.startswith(("usage.completion_tokens ", "usage.prompt_tokens "))
        ]
        if not odd:
            return None
        return self._server.words(f"the server reports an impossible number of tokens: {odd[0]}")

    def close(self) -> None:
        """Put together what came in pieces, without the key where a server sent it back."""
        self.stamp("done_s")
        text = "".join(text for _, text in self._pieces)
        self.record["text"] = text
        self.record["probabilities"] = self._probabilities or None
        if self._server.hide(text) != text:  # it may be spread over pieces
            self.record["pieces"] = [[moment, HIDDEN] for moment, _ in self._pieces]
            self.record["probabilities"] = None
        self.record = self._server.hide(self.record)


def counted(usage: Any, left_out: list[str], name: str = "usage") -> Any:  # noqa: ANN401 - JSON
    """What a server counted, without what is no count; that is named in `left_out`."""
    if not isinstance(usage, dict):
        if usage is not None:
            left_out.append(f"{name} is no object")
        return None
    kept: dict[str, Any] = {}
    for key, value in usage.items():
        path = f"{name}.{key[:60]}"
        if isinstance(value, dict) and name == "usage":
            kept[key] = counted(value, left_out, path)
        elif key.endswith("_tokens") and count_of(value) is None:
            if value is not None:
                left_out.append(f"{path} is {str(value)[:40]}")
        elif isinstance(value, (int, float, bool)) or value is None:
            kept[key] = value
        elif isinstance(value, Odd):
            left_out.append(f"{path} is {value}")
        elif isinstance(value, str):
            kept[key] = value[:LONGEST_WORD]
    return kept


def _word(value: object) -> str | None:
    """A name that a server says, or a reason; None if it says none."""
    if not value:
        return None
    if not isinstance(value, str):
        raise TypeError
    return value[:LONGEST_WORD]


def _timings(told: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever JSON holds
    """The numbers of llama-server's own times."""
    if not isinstance(told, dict):
        raise TypeError
    return {name: value for name, value in told.items() if type(value) in (int, float)}


def shortened(data: bytes, server: Server) -> str:
    """The beginning of what a server sent, for an error."""
    return server.words(data.decode("utf-8", "replace"))


def told(event: dict[str, Any], server: Server) -> str:
    """Return a server's message about its error."""
    error = event.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    return server.words(str(message))
