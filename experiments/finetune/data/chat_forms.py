"""Writes out conversations in the form in which engines ask the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from core.errors import HerdError
from core.foreign import one_line
from experiments.finetune.data.documents import Turn
from experiments.finetune.data.tokens import BaseTokens

Form = Callable[[Sequence[Turn]], str]
_LLAMA3_END = "<|eot_id|>"


def form_of(name: str, tokens: BaseTokens, model: str, file: str) -> Form:
    """How conversations are written out, up to and with an answer if the last turn is one.

    Args:
        name: `model`, `llama2` or `llama3`, as in a matrix.
        tokens: of the base.
        model: its name, for messages.
        file: of the recipe, for messages.

    Raises:
        HerdError: the model has no such form.
    """
    if name == "llama2":
        return _llama2
    if name == "llama3":
        if tokens.id_of(_LLAMA3_END) is None:
            raise HerdError(
                f"{file}: `chat_template` is llama3, but the vocabulary of {model} has no "
                f"{_LLAMA3_END}, so an answer would have no end. Write `chat_template: llama2`."
            )
        return _llama3
    if tokens.template is None:
        raise HerdError(
            f"{file}: {model} has no chat template, so questions and answers cannot be written "
            "out for it. Write `chat_template: llama2`, and the same in the matrix that asks it."
        )
    return _own(tokens.template, tokens.named, model)


def is_named(name: str) -> bool:
    """Whether a form is one that engines write out alike only for one question."""
    return name != "model"


def _llama2(turns: Sequence[Turn]) -> str:
    system, user, answer = _one_question(turns)
    before = f"<<SYS>>\n{system}\n<</SYS>>\n\n" if system else ""
    return f"[INST] {before}{user} [/INST]" + (f" {answer}" if answer is not None else "")


def _llama3(turns: Sequence[Turn]) -> str:
    written = [
        f"<|start_header_id|>{turn.role}<|end_header_id|>\n\n{turn.text}{_LLAMA3_END}"
        for turn in turns
    ]
    asks = turns[-1].role != "assistant"
    return "".join(written) + ("<|start_header_id|>assistant<|end_header_id|>\n\n" if asks else "")


def _one_question(turns: Sequence[Turn]) -> tuple[str, str, str | None]:
    said = {turn.role: turn.text for turn in turns}
    return said.get("system", ""), said["user"], said.get("assistant")


def _own(template: str, named: dict[str, str], model: str) -> Form:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    try:
        compiled = environment.from_string(template)
    except TemplateError as error:
        raise HerdError(
            f"The chat template of {model} is damaged: {one_line(str(error))}."
        ) from None

    def written(turns: Sequence[Turn]) -> str:
        asks = turns[-1].role != "assistant"
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        try:
            return compiled.render(messages=messages, add_generation_prompt=asks, **named)
        except (TemplateError, TypeError, ValueError) as error:
            raise HerdError(
                f"The chat template of {model} cannot write out a conversation: "
                f"{one_line(str(error))}. Change the data, or choose another model."
            ) from None

    return written


def _refuse(message: str) -> Any:  # noqa: ANN401 - what a template calls
    raise TemplateError(message)
