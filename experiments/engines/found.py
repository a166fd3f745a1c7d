"""The engine that a module of this folder ends in, or one sentence that says what is wrong."""

from __future__ import annotations

import inspect
import re
import traceback
from importlib import import_module
from pathlib import Path
from types import ModuleType

from core.errors import HerdError
from core.foreign import one_line
from experiments.engines.engine import Engine

_FOLDER = "experiments/engines"
_NAME = re.compile("[a-z0-9][a-z0-9.-]*")
"""What a node's helper takes for the name of an engine."""


def engine_in(package: str, stem: str) -> Engine | None:
    """Load a module and return its engine; None if it has none.

    Raises:
        HerdError: it cannot be loaded, or its engine would not be found under its name.
    """
    file = f"{_FOLDER}/{stem}.py"
    try:
        module = import_module(f"{package}.{stem}")
    except Exception as error:
        raise HerdError(f"{file} cannot be loaded: {_why(error)}. Mend or remove it.") from error
    engine = getattr(module, "ENGINE", None)
    if isinstance(engine, Engine):
        _see_name(engine, stem)
        return engine
    classes = _engines_of(module)
    if engine is not None or classes:
        raise HerdError(
            f"{file} must end in an instance of its engine: "
            f"`ENGINE = {classes[0] if classes else 'MyEngine'}()`."
        )
    return None


def _why(error: Exception) -> str:
    """What went wrong, and in which line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if isinstance(error, SyntaxError) else f" ({Path(last.filename).name}:{last.lineno})"
    return f"{type(error).__name__}: {one_line(str(error)).rstrip('.')}{where}"


def _engines_of(module: ModuleType) -> list[str]:
    """Names of the classes of engines that a module defines."""
    return [
        name
        for name, one in vars(module).items()
        if isinstance(one, type)
        and issubclass(one, Engine)
        and one.__module__ == module.__name__
        and not inspect.isabstract(one)
    ]


def _see_name(engine: Engine, stem: str) -> None:
    """See that the file, the parser and the role are those of this engine alone."""
    file = f"{_FOLDER}/{stem}.py"
    name = getattr(engine, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise HerdError(
            f"{file}: its engine needs a `name` of small letters, digits, `.` and `-`, such as "
            f'`name = "{stem.replace("_", "-")}"`.'
        )
    if engine.slug != stem:
        raise HerdError(
            f"{file} has the engine {name}, which belongs in {_FOLDER}/{engine.slug}.py: "
            "rename the file, or the engine."
        )
