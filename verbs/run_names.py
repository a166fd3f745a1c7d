"""The run that a verb is about: its name behind the verb, with or without `--run`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from fabric.main import program
from invoke.exceptions import Exit
from invoke.parser.context import ParserContext

from verbs.bare_words import BareWords, arguments_of, dashed, is_of, mark_bare_words

RUN = BareWords("--run")
PAIR = ("baseline", "contender")
"""The two runs of a comparison."""
RUN_HELP = "name of the run, with or without --run before it (default: {otherwise})"
LATEST_RUN = RUN_HELP.format(otherwise="the latest")
SHOWN = 80
"""Characters of a word that a message repeats."""


def mark_run(words: list[str], verb: Any) -> None:  # noqa: ANN401 - Invoke has no types
    """Mark the name behind a verb that is about one run.

    Args:
        words: the command line after `fab` and its own flags; changed in place.
        verb: the task; other verbs' words are left alone.

    Raises:
        Exit: there are several names, or what begins with a dash is no flag.
    """
    mark_runs(words, verb)
    if is_of(words, verb):
        names = _values(words, verb, ("run",))
        _require_most(words[0], names, 1)


def mark_runs(words: list[str], verb: Any) -> None:  # noqa: ANN401
    """Mark all names behind a verb that takes any number of runs.

    Raises:
        Exit: what begins with a dash is no flag.
    """
    if is_of(words, verb):
        _require_flags(words, verb)
        mark_bare_words(words, verb, RUN)


def require_pair(words: list[str], verb: Any) -> None:  # noqa: ANN401
    """Require that no more than two names are behind a verb that compares two runs.

    Raises:
        Exit: there are more, or what begins with a dash is no flag.
    """
    if not is_of(words, verb):
        return
    _require_flags(words, verb)
    marked = list(words)
    mark_bare_words(marked, verb, BareWords(f"--{PAIR[0]}"))
    names = _values(marked, verb, PAIR)
    _require_most(words[0], names, 2)


def _values(words: Iterable[str], verb: Any, names: Sequence[str]) -> list[str]:  # noqa: ANN401
    """The values of these arguments, by their long flags and their short ones."""
    arguments = {dashed(name): one for one in arguments_of(verb) for name in one.names}
    rest, found = iter(words), []
    for word in rest:
        flag, value = _parted(word)
        if flag in arguments and arguments[flag].takes_value:
            told = next(rest, "") if value is None else value
            found += [told] if arguments[flag].name in names else []
    return found


def _parted(word: str) -> tuple[str, str | None]:
    """A flag, and its value if that is in the same word, as in `--run=x` and `-rx`."""
    if word.startswith("--"):
        flag, joined, value = word.partition("=")
        return flag, value if joined else None
    return (word[:2], word[2:] or None) if word.startswith("-") else ("", None)


def _require_most(verb: str, names: Sequence[str], most: int) -> None:
    from core.foreign import one_line

    if len(names) > most:
        shown = [one_line(name, SHOWN) for name in names]
        takes = "one run" if most == 1 else "two runs"
        raise Exit(
            f"fab {verb}: it takes the name of {takes}, and these are {len(names)}: "
            f"{', '.join(shown)}. Such as: fab {verb} {' '.join(shown[:most])}",
            code=1,
        )


def _require_flags(words: Sequence[str], verb: Any) -> None:  # noqa: ANN401
    """Refuse a word that begins with a dash and is no flag: no name of a run begins so."""
    own = ParserContext(name=verb.name, args=arguments_of(verb))
    known = (own.flags, own.inverse_flags, program.initial_context.flags)
    rest = iter(words[1:])
    for word in rest:
        flag, value = _parted(word)
        if flag and not any(flag in flags for flags in known):
            _refuse_flag(words[0], word, own.flags)
        if value is None and flag in own.flags and own.flags[flag].takes_value:
            next(rest, None)


def _refuse_flag(verb: str, word: str, flags: Iterable[str]) -> None:
    from core.foreign import one_line

    near = difflib.get_close_matches(word[:SHOWN], [flag for flag in flags if flag[1] == "-"], n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    raise Exit(
        f"fab {verb} {one_line(word, SHOWN)}: there is no such flag, and no name of a run begins "
        f"with a dash.{meant} `fab --help {verb}` lists the flags, `fab history` the runs.",
        code=1,
    )
