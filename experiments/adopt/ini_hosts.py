"""Hosts added to an INI inventory as text: lines at the end of a section, no other is touched."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from experiments.adopt.yaml_hosts import Variables

_SECTION = re.compile(r"\[(?P<name>[^\]]+)\]\s*(?:[#;].*)?")


def add_to_ini(text: str, group: str, hosts: Mapping[str, Variables]) -> str:
    """The inventory with these hosts at the end of a group, which is made if it is not there."""
    feed = "\r\n" if "\r\n" in text else "\n"
    added = [f"{_line(name, variables)}{feed}" for name, variables in hosts.items()]
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += feed
    place = _end_of(lines, group)
    if place is None:
        head = [feed] if lines and lines[-1].strip() else []
        return "".join([*lines, *head, f"[{group}]{feed}", *added])
    return "".join([*lines[:place], *added, *lines[place:]])


def _end_of(lines: list[str], group: str) -> int | None:
    """The line after the last entry of the last such section; None where there is none."""
    place, inside = None, False
    for number, line in enumerate(lines, start=1):
        section = _SECTION.fullmatch(line.strip())
        if section is not None:
            inside = section["name"] == group
            place = number if inside else place
        elif inside and line.strip() and not line.lstrip().startswith(("#", ";")):
            place = number
    return place


def _line(name: str, variables: Variables) -> str:
    told = (f"{key}={shlex.quote(str(value))}" for key, value in variables.items())
    return " ".join([name, *told])
