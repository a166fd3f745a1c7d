"""What every verb of `fab` has: its errors end as one paragraph, its text has no markup.

Each verb imports what it calls: all of it takes a second to load, and `fab --list` needs none.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fabric import task
from invoke.exceptions import Exit

from core.errors import HerdError

if TYPE_CHECKING:
    from pydantic import BaseModel

PROJECT = Path(__file__).resolve().parent.parent
"""Folder of `fabfile.py`."""
JSON_HELP = "as one JSON object (docs/json.md)"


def verb(
    **options: Any,  # noqa: ANN401  # passed on to Invoke as they are
) -> Callable[[Callable[..., None]], Any]:
    """A task whose errors that a user can cause end as one paragraph and exit code 1."""

    def decorate(function: Callable[..., None]) -> Any:  # noqa: ANN401  # Invoke has no types
        @functools.wraps(function)
        def guarded(*args: object, **kwargs: object) -> None:
            try:
                function(*args, **kwargs)
            except HerdError as error:
                from core.terminal import for_errors

                raise Exit(for_errors(str(error)), code=1) from None
            except BrokenPipeError:  # as in `fab parse-log … | head`
                _say_no_more()

        return task(**options)(guarded)

    return decorate


@contextmanager
def _answering() -> Iterator[None]:
    """Let a verb go on, to its exit code, when no one reads its answer any more.

    Raises:
        HerdError: standard output cannot be written for another reason, such as a full disk.
    """
    try:
        yield
    except BrokenPipeError:  # as in `fab compare-runs … | head`
        _say_no_more()
    except OSError as error:
        _say_no_more()
        raise HerdError(
            f"Writing the answer to standard output: {error.strerror or error}."
        ) from None


def _say_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Print a line of a verb's answer. Raises HerdError: it cannot be written."""
    from core.terminal import say_text

    with _answering():
        say_text(text)


def say_json(answer: BaseModel) -> None:
    """Print a verb's answer as one JSON object; nothing else may go to standard output then.

    Raises:
        HerdError: it cannot be written.
    """
    from core.json_answer import json_text

    with _answering():
        print(json_text(answer), flush=True)


def say_besides(line: str) -> None:
    """Print on standard error what is not part of a verb's answer."""
    from core.terminal import complain

    complain(line)
