"""Answers questions by a private swarm: OpenAI's chat completion, streamed, one at a time.

    petals-api --model FOLDER --swarm NAME --first 10.0.0.4:9995 --threads 4
               --host 127.0.0.1 --port 9980 [--chat-template llama2] [--adapter BASE64]…

It prints `Ready for questions` when the swarm is whole and it listens. When a server of the swarm
does not answer, it reports that to the client, and ends.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from herd_petals.client import tell
from herd_petals.ending import end_by_sigint, fail
from herd_petals.prompts import PromptsError, add_prompts_argument, given_prompts
from herd_petals.swarm import Swarm, SwarmError, add_arguments, swarm_of

PATH = "/v1/chat/completions"
Messages = Sequence[Mapping[str, str]]


def llama2(messages: Messages) -> str:
    """A conversation as LLaMA 2's chat models were trained with, up to the answer."""
    system = "".join(m["content"] for m in messages if m["role"] == "system")
    before = f"<<SYS>>\n{system}\n<</SYS>>\n\n" if system else ""
    asked = [m["content"] for m in messages if m["role"] == "user"]
    return f"[INST] {before}{asked[-1]} [/INST]"


def llama3(messages: Messages) -> str:
    """The same for LLaMA 3."""
    turns = [
        f"<|start_header_id|>{m['role']}<|end_header_id|>\n\n{m['content']}<|eot_id|>"
        for m in messages
    ]
    return "".join(turns) + "<|start_header_id|>assistant<|end_header_id|>\n\n"


TEMPLATES: Mapping[str, Callable[[Messages], str]] = {"llama2": llama2, "llama3": llama3}


class Answerer:
    """Says a model's answers piece by piece.

    Args:
        swarm: has the model.
        template: name of a way to write conversations out; empty for the model's own.
    """

    def __init__(self, swarm: Swarm, template: str) -> None:
        self._swarm = swarm
        self._template = template

    def events(self, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of a stream.

        Raises:
            SwarmError: a server did not answer, or the model has no template.
        """
        ids = self._encoded(asked["messages"])
        most = min(int(asked["max_tokens"]), self._swarm.context - len(ids))
        choose = self._swarm.sampler(float(asked["temperature"]), int(asked["seed"]))
        said: list[int] = []
        told, reason = "", "length"
        with self._swarm.session(len(ids) + max(most, 1)):
            sent = ids
            while len(said) < most:
                token = self._swarm.step(sent, choose).token
                said.append(token)
                if token in self._swarm.ends:
                    reason = "stop"
                    break
                text = self._swarm.tokenizer.decode(ids + said)[self._length(ids) :]
                if not text.endswith("\ufffd"):  # half a character waits for its other half
                    yield {"choices": [{"delta": {"content": text[len(told) :]}}]}
                    told = text
                sent = [token]
        yield {
            "choices": [{"delta": {}, "finish_reason": reason}],
            "usage": {"prompt_tokens": len(ids), "completion_tokens": len(said)},
        }

    def _encoded(self, messages: Messages) -> list[int]:
        tokenizer = self._swarm.tokenizer
        if self._template:
            return list(tokenizer(TEMPLATES[self._template](messages))["input_ids"])
        if tokenizer.chat_template is None:
            raise SwarmError("the model has no chat template")
        return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True))

    def _length(self, ids: list[int]) -> int:
        return len(self._swarm.tokenizer.decode(ids))


def main() -> None:
    """Serve until SIGINT."""
    arguments = _arguments()
    end_by_sigint()
    try:
        told = given_prompts(arguments.adapter)
        if told is not None:
            tell("adapter", sha256=told.sha256, prompts=told.count)
        swarm = swarm_of(arguments, told)
        swarm.await_whole()
    except (SwarmError, PromptsError) as error:
        fail(error)
    answerer = Answerer(swarm, arguments.chat_template)
    server = HTTPServer((arguments.host, arguments.port), _handler(answerer))
    sys.stdout.write("Ready for questions\n")
    sys.stdout.flush()
    server.serve_forever()


def _handler(answerer: Answerer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path != PATH:
                self.send_error(404)
                return
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            try:
                for event in answerer.events(asked):
                    self._tell(json.dumps(event))
                self._tell("[DONE]")
            except SwarmError as error:
                self._tell(json.dumps({"error": {"message": str(error)}}))
                fail(error)

        def _tell(self, data: str) -> None:
            self.wfile.write(f"data: {data}\n\n".encode())
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            """Nothing: what is asked is no matter of the log."""

    return Handler


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    add_prompts_argument(parser)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--chat-template", choices=sorted(TEMPLATES), default="")
    return parser.parse_args()


if __name__ == "__main__":
    main()
