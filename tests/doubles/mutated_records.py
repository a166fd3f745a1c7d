"""A record with something in it that was never written so."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 1.5, -0.0, 2**53 + 1, 2**63, 10**400, -(10**400), 1e308, 1e-320,
    float("nan"), float("inf"), float("-inf"), "", "a", "pi1", "..", "/", "../../x", "a/b", "\0",
    "\x1b[2J", "\u202e", "\ud800", "=1+1", "<script>", "x" * 300, "x" * 5000, "1", "1.5", "NaN",
    [], [[]], [1, 2], ["pi1"], {}, {"a": 1}, {"": None}, "done", "questions", "distributed-llama",
)  # fmt: skip


def mutated(record: Any, chance: random.Random) -> str:  # noqa: ANN401 - JSON
    """The record as JSON, with one to three things changed."""
    made = copy.deepcopy(record)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        places = list(_places(made))
        if not places:
            break
        box, key = chance.choice(places)
        _change(box, key, places, chance)
    text = json.dumps(made)
    if chance.random() < 0.1:
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(("", "\0", "}", '"', ",", "é", "9" * 400)) + text[at + 1 :]
    return text


def _change(box: Any, key: Any, places: list[tuple[Any, Any]], chance: random.Random) -> None:  # noqa: ANN401
    how = chance.random()
    if how < 0.7:
        box[key] = copy.deepcopy(chance.choice(ODD))
    elif how < 0.8:
        other, name = chance.choice(places)
        box[key] = copy.deepcopy(other[name])
    elif isinstance(box, dict):
        value = box.pop(key)
        if how < 0.9:
            box[str(chance.choice(ODD))] = value
    elif how < 0.9:
        box.insert(key, copy.deepcopy(box[key]))
    else:
        box.pop(key)


def _places(value: Any) -> Any:  # noqa: ANN401 - JSON
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])
