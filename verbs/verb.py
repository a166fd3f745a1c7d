"""What every verb of `fab` has: its errors end as one paragraph, its text has no markup.

Each verb imports what it calls: all of it takes a second to load, and `fab --list` needs none.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
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
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

        return task(**options)(guarded)

    return decorate


def say(text: str) -> None:
    """Print a line of a verb's answer."""
    from core.terminal import say_text

    say_text(text)


def say_json(answer: BaseModel) -> None:
    """Print a verb's answer as one JSON object; nothing else may go to standard output then."""
    from core.json_answer import json_text

    print(json_text(answer))


def say_besides(line: str) -> None:
    """Print on standard error what is not part of a verb's answer."""
    from core.terminal import complain

    complain(line)
