"""The name of a run after a verb: with and without `--run` alike, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from invoke import Collection
from invoke.exceptions import Exit
from invoke.parser import Parser

import fabfile
from collect.named import folder_named, near_names
from collect.run import RUN_FILE
from core.errors import HerdError

PROJECT = Path(fabfile.__file__).parent
VERBS = [verb.name.replace("_", "-") for verb in fabfile.ABOUT_ONE_RUN]


def parsed(typed: list[str]) -> object:
    """The run that Invoke gives to a verb, of a command line after `fab`."""
    words = list(typed)
    fabfile.mark_words(words)
    parser = Parser(contexts=Collection.from_module(fabfile).to_contexts())
    (found,) = parser.parse_argv(words)
    return found.args["run"].value


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("form", [["r1"], ["--run", "r1"], ["--run=r1"], ["-r", "r1"], ["-rr1"]])
def test_a_run_is_named_in_the_same_ways_after_each_verb(verb: str, form: list[str]) -> None:
    assert parsed([verb, *form]) == "r1"
    assert parsed([verb]) is None


HELP = """
import json
from invoke import Collection
import fabfile
for verb in [*fabfile.ABOUT_ONE_RUN, fabfile.paper, fabfile.adopt]:
    fabfile.mark_words([verb.name.replace("_", "-"), "--help"])
contexts = Collection.from_module(fabfile).to_contexts()
print(json.dumps({c.name: {name: a.help for name, a in c.args.items()} for c in contexts}))
"""


def test_each_verb_says_in_the_same_words_how_a_run_is_named() -> None:
    told = subprocess.run(
        [sys.executable, "-c", HELP], check=True, capture_output=True, text=True, cwd=PROJECT
    )
    found = json.loads(told.stdout)
    for verb in [*VERBS, "paper"]:
        assert found[verb]["run"].startswith(
            "name of the run, with or without --run before it (default: the "
        )
    assert all(found["adopt"].values()), "what --help prints was lost"


def test_a_name_that_is_also_a_verb_and_flags_around_it_are_kept_apart() -> None:
    assert parsed(["status", "report", "--json"]) == "report"
    assert parsed(["what-if", "--nodes", "2,4", "r1", "--memory=1.5"]) == "r1"
    assert parsed(["export-run", "--hide", "r2", "r1", "--out", "x.tar.gz"]) == "r1"
    assert parsed(["paper", "r1", "--run", "r2"]) == ["r1", "r2"]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("form", ["a b", "--run a b", "a -r b", "-ra --run=b", "-r a -r b", "a -"])
def test_two_names_are_refused(verb: str, form: str) -> None:
    with pytest.raises(Exit, match=f"fab {verb}.*(takes the name of one run|begins with a dash)"):
        fabfile.mark_words([verb, *form.split()])


@pytest.mark.parametrize("form", ["a b c", "--baseline a b c", "-b a -c b c"])
def test_three_names_are_refused_where_two_are_compared(form: str) -> None:
    with pytest.raises(Exit, match=r"takes the name of two runs, and these are 3: .*fab compare"):
        fabfile.mark_words(["compare-runs", *form.split()])
    words = ["compare-runs", "a", "b", "--fail-below", "5%"]
    fabfile.mark_words(words)
    assert words == ["compare-runs", "a", "b", "--fail-below", "5%"]


@pytest.mark.parametrize("verb", [*VERBS, "paper", "compare-runs"])
@pytest.mark.parametrize("word", ["-x9", "--rum", "--rum=a", "-", "--=a"])
def test_a_word_with_a_dash_that_is_no_flag_is_refused(verb: str, word: str) -> None:
    with pytest.raises(Exit, match=f"fab {verb} {word}: there is no such flag, and no name"):
        fabfile.mark_words([verb, "a", word])


def test_a_flag_that_is_near_is_named_and_flags_of_fab_itself_are_left() -> None:
    with pytest.raises(Exit, match=r"Did you mean --run\?"):
        fabfile.mark_words(["report", "--rum", "a"])
    for own in ("--help", "--echo", "-H"):
        fabfile.mark_words(["report", own])


def test_a_name_near_that_of_a_run_is_said(tmp_path: Path) -> None:
    for name in ("scaling-20261128-212751", "scaling-20261129-101500", "tunings"):
        (tmp_path / name).mkdir()
        if name != "tunings":
            (tmp_path / name / RUN_FILE).write_text("{}")
    assert folder_named(tmp_path, "tunings") == tmp_path / "tunings"
    for typed, near in {
        "scaling": "Did you mean scaling-20261129-101500 or scaling-20261128-212751?",
        "SCALING-20261128-21275": "Did you mean scaling-20261128-212751",
        "sacling-20261129-101500": "Did you mean scaling-20261129-101500",
        "tuning": "in [^?]*$",
        "zz": "in [^?]*$",
    }.items():
        with pytest.raises(HerdError, match=f"There is no run `{typed}` .*{near}"):
            folder_named(tmp_path, typed)
    for typed in ("-x", "", ".", "..", "../other", f"{tmp_path}/../x", "a\nb"):
        with pytest.raises(HerdError, match="cannot be a run: give its name"):
            folder_named(tmp_path, typed)
    assert near_names("q", ["x1", "x2"]) == []
