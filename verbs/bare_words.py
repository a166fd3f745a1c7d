"""Bare words after verbs that take any number of them: Invoke's tasks take a fixed number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class BareWords:
    """How the bare words after a verb are marked.

    Attributes:
        flag: that takes each of them, such as `--machine`.
        maybe_bare: flags that need no value, each with what its value looks like and with its value
            if the next word does not look so.
        are_text: they may begin with a dash, so only `--name` is a flag.
    """

    flag: str
    maybe_bare: Mapping[str, tuple[Callable[[str], bool], str]] = field(default_factory=dict)
    are_text: bool = False


def mark_bare_words(
    words: list[str],
    verb: Any,  # noqa: ANN401 - Invoke has no types
    bare: BareWords,
) -> None:
    """Mark the bare words after a verb, and join its flags with their values.

    Args:
        words: the command line after `fab` and its own flags; changed in place.
        verb: the task; other verbs' words are left alone.
        bare: what its bare words are.
    """
    if not is_of(words, verb):
        return
    takes_value = {
        dashed(name)
        for argument in arguments_of(verb)
        if argument.takes_value
        for name in argument.names
    }
    marked, rest = words[:1], words[1:]
    while rest:
        word = rest.pop(0)
        if word in bare.maybe_bare:
            fits, otherwise = bare.maybe_bare[word]
            marked.append(f"{word}={rest.pop(0) if rest and fits(rest[0]) else otherwise}")
        elif not _is_flag(word, bare):
            marked.append(f"{bare.flag}={word}")
        elif word not in takes_value or not rest:
            marked.append(word)
        elif word.startswith("--"):
            marked.append(f"{word}={rest.pop(0)}")
        else:
            marked += [word, rest.pop(0)]
    words[:] = marked


def is_of(words: list[str], verb: Any) -> bool:  # noqa: ANN401 - Invoke has no types
    """Whether a command line is one of this verb."""
    return words[:1] == [verb.name.replace("_", "-")]


def dashed(name: str) -> str:
    """The flag of an argument: `-r`, `--run`."""
    return f"-{name}" if len(name) == 1 else f"--{name}"


def arguments_of(verb: Any) -> list[Any]:  # noqa: ANN401
    """The arguments of a verb, which keeps what `--help` prints: Invoke takes that out of it."""
    told = dict(verb.help)
    found: list[Any] = verb.get_arguments()
    verb.help = told
    return found


def _is_flag(word: str, bare: BareWords) -> bool:
    """Whether a word is a flag; a lone `-` or `--` is none."""
    return word.startswith("--" if bare.are_text else "-") and word.strip("-") != ""
