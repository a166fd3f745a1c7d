"""Make the README.md of each role from its `meta/argument_specs.yml`.

    python roles/readmes.py            writes them
    python roles/readmes.py --check    names those that are out of step; exit status 1 if any is

What a person wrote above the mark stays as it is.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parent
MARK = (
    "<!-- Made by `make role-docs` from meta/argument_specs.yml. Edit that file, not this part. -->"
)


def role_names() -> list[str]:
    """Names of all roles, sorted."""
    return sorted(path.parents[1].name for path in ROLES.glob("*/meta/argument_specs.yml"))


def readme(role: str) -> str:
    """Text of a role's README.md: what a person wrote, and what its specs say now."""
    path = ROLES / role / "README.md"
    written = path.read_text().partition(MARK)[0] if path.exists() else f"# Role `{role}`\n\n"
    return "\n".join([f"{written}{MARK}", "", *lines_of(role), ""])


def lines_of(role: str) -> Iterator[str]:
    """What the specs of a role say, in Markdown."""
    folder = ROLES / role
    specs = read_yaml(folder / "meta" / "argument_specs.yml")["argument_specs"]
    defaults = read_yaml(folder / "defaults" / "main.yml")
    for name, spec in specs.items():
        if name != "main":
            yield from (f"## Entry point `{name}`", "")
            yield from (f"`include_role` with `name: {role}` and `tasks_from: {name}`.", "")
        yield from (sentence(spec["short_description"]), "")
        yield from (f"{sentence(text)}\n" for text in spec.get("description", []))
        if name == "main":
            needed = read_yaml(folder / "meta" / "main.yml").get("dependencies") or []
            yield from (
                f"It depends on role [{one}](../{one}/README.md).\n" for one in map(name_of, needed)
            )
        rows = list(rows_of(spec.get("options") or {}, defaults))
        yield from table(rows) if rows else ["It has no variables.", ""]
    yield "How the roles work together: [docs/architecture.md](../../docs/architecture.md)."


def name_of(dependency: Mapping[str, str] | str) -> str:
    """The role that an entry of `dependencies` names."""
    return dependency if isinstance(dependency, str) else dependency["role"]


def table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Rows of variables as a table."""
    yield "| variable | type | default | meaning |"
    yield "|---|---|---|---|"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def rows_of(
    options: Mapping[str, Any], defaults: Mapping[str, Any], above: str = ""
) -> Iterator[tuple[str, ...]]:
    """A row for each variable, and for each key of one whose items are dictionaries."""
    for name, option in options.items():
        yield (
            f"`{above}{name}`",
            kind_of(option),
            default_of(name, option, defaults),
            meaning_of(option),
        )
        yield from rows_of(option.get("options") or {}, {}, f"{above}{name}[].")


def kind_of(option: Mapping[str, Any]) -> str:
    """Type of a variable as specs name it."""
    kind = option.get("type", "str")
    return f"{kind} of {option['elements']}" if "elements" in option else str(kind)


def default_of(name: str, option: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Its default as YAML has it, the specs' before that of `defaults/main.yml`."""
    if option.get("required"):
        return "required"
    value = option.get("default", defaults.get(name))
    return "" if value is None else f"`{in_yaml(value)}`"


def in_yaml(value: object) -> str:
    """A value on one line."""
    if isinstance(value, str) and value:
        return cell(value)
    flow = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
    return cell(flow.removesuffix("...\n"))


def meaning_of(option: Mapping[str, Any]) -> str:
    """Its description and the values that it may have."""
    told = option.get("description", "")
    text = sentence(" ".join(told) if isinstance(told, list) else told)
    choices = option.get("choices") or []
    if not choices:
        return cell(text)
    is_span = all(isinstance(one, int) for one in choices)
    named = (
        f"{choices[0]} to {choices[-1]}" if is_span else ", ".join(f"`{one}`" for one in choices)
    )
    return cell(f"{text} One of {named}.")


def sentence(text: str) -> str:
    """Text of the specs in Markdown, ended by a full stop."""
    plain = re.sub(r"\bC\(([^)]*)\)", r"`\1`", " ".join(text.split()))
    return plain if plain.endswith((".", ":")) else f"{plain}."


def cell(text: str) -> str:
    """Text that does not end a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def read_yaml(path: Path) -> dict[str, Any]:
    """Content of a file; nothing where there is none."""
    content: dict[str, Any] = (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}
    return content


def main() -> int:
    """Write all of them, or say which differ from what they would be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    stale = []
    for role in role_names():
        path = ROLES / role / "README.md"
        wanted = readme(role)
        if path.exists() and path.read_text() == wanted:
            continue
        stale.append(f"roles/{role}/README.md")
        if not given.check:
            path.write_text(wanted)
    print(
        "\n".join(f"{'out of step' if given.check else 'written'}: {one}" for one in stale)
        or "All in step."
    )
    return 1 if stale and given.check else 0


if __name__ == "__main__":
    sys.exit(main())
