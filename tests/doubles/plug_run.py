"""Smart plugs in the attempts of a run on disk, as the runner leaves them there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from collect.attempt import ATTEMPT_FILE
from collect.plugs import POWER_FILE, PowerReading, power_file
from collect.run import ATTEMPTS_FOLDER, RUN_FILE

Feeds = Mapping[str, tuple[Sequence[str], bool]]
"""Plug to the nodes that it feeds, and whether it feeds the switch."""


def plug_in(
    run: Path,
    feeds: Feeds,
    watts: Callable[[str, float], float],
    *,
    window_s: float = 60.0,
    idle_w: float = 3.0,
    broken: Mapping[str, str] | None = None,
    electricity: Mapping[str, Any] | None = None,
    ended_s: Sequence[float] = (),
) -> Path:
    """Add to each attempt of a run what plugs counted; return the run.

    Args:
        run: its folder.
        feeds: the plugs.
        watts: power of a plug, by its name and the seconds since the window began.
        window_s: of every attempt.
        idle_w: of every plug.
        broken: plug to the reason why it gave nothing.
        electricity: its price.
        ended_s: when each of several deployments at once ended; all began at 0.
    """
    if electricity is not None:
        plan = json.loads((run / RUN_FILE).read_text())
        (run / RUN_FILE).write_text(json.dumps({**plan, "electricity": electricity}))
    for path in sorted((run / ATTEMPTS_FOLDER).glob(f"*/{ATTEMPT_FILE}")):
        record = json.loads(path.read_text())
        used = {one["node"] for one in record["processes"]} | set(record["nodes"])
        own = {name: fed for name, fed in feeds.items() if used & set(fed[0]) or not fed[0]}
        record["plugs"] = {
            name: _plug(fed, name, watts, window_s, idle_w, (broken or {}).get(name))
            for name, fed in own.items()
        }
        if ended_s and record["deployments"]:
            for one, end_s in zip(record["deployments"], ended_s, strict=True):
                one |= {"began_s": 0.0, "ended_s": end_s}
        told = [
            PowerReading(name, at - 0.5, watts(name, at - 0.5), None)
            for name in own
            if name not in (broken or {})
            for at in range(round(window_s))
        ]
        content = power_file(told)
        (path.parent / POWER_FILE).write_bytes(content)
        record["file_bytes"][POWER_FILE] = len(content)
        record.setdefault("file_sha256", {})[POWER_FILE] = hashlib.sha256(content).hexdigest()
        path.write_text(json.dumps(record))
    return run


def _plug(
    fed: tuple[Sequence[str], bool],
    name: str,
    watts: Callable[[str, float], float],
    window_s: float,
    idle_w: float,
    reason: str | None,
) -> dict[str, Any]:
    steps = [watts(name, second + 0.5) for second in range(round(window_s))]
    known = {"joules": float(sum(steps)), "error_j": 5.0, "by": "power", "readings": len(steps)}
    return {
        "nodes": list(fed[0]),
        "feeds_switch": fed[1],
        "window_s": window_s,
        "idle_w": idle_w,
        **({"reason": reason} if reason else known),
    }
