"""Whatever a YAML file holds, it ends at once in values or in a sentence with file and line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from core.errors import HerdError
from core.yaml_file import load_yaml_file
from core.yaml_text import MOST_BYTES, MOST_DEPTH, MOST_NODES, YamlTextError, read_yaml
from experiments.planning.matrix import load_matrix

SOON_S = 3.0
"""Of the processor, on a busy machine; what is refused before it is read takes milliseconds."""


class Document(BaseModel):
    """A file with one list and one text."""

    model_config = ConfigDict(extra="forbid")

    title: str = ""
    values: list[float] = []


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "file.yml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(folder: Path, text: str | bytes) -> str:
    begun = time.process_time()
    with pytest.raises(HerdError) as caught:
        load_yaml_file(written(folder, text), Document, "the document")
    assert time.process_time() - begun < SOON_S
    return str(caught.value)


def laughs(levels: int, kind: str) -> str:
    """Each level is nine times the one before."""
    last, inner = "]", ", ".join
    lines = ["a0: &a0 [x]" if kind == "list" else "a0: &a0 {k: x}"]
    for level in range(1, levels):
        nine = [f"*a{level - 1}"] * 9
        if kind == "list":
            lines.append(f"a{level}: &a{level} [{inner(nine)}{last}")
        elif kind == "merge":
            lines.append(f"a{level}: &a{level} {{<<: [{inner(nine)}]}}")
        else:
            pairs = [f"k{n}: {one}" for n, one in enumerate(nine)]
            lines.append(f"a{level}: &a{level} {{{inner(pairs)}}}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("kind", ["list", "mapping", "merge"])
def test_aliases_of_aliases_are_counted_before_they_are_written_out(
    tmp_path: Path, kind: str
) -> None:
    assert ": with its aliases expanded" in refusal(tmp_path, laughs(30, kind))


def test_a_long_text_repeated_by_aliases_counts_as_often_as_it_stands_there(tmp_path: Path) -> None:
    text = f"title: &t {'x' * 100_000}\nvalues: [{', '.join(['*t'] * 1000)}]\n"

    assert "line 2: with its aliases expanded" in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "values: " + "[" * 100_000,
            "line 1: lists or mappings are nested more than 50 levels deep",
        ),
        ("values: " + "{a: " * 100_000, "line 1: lists or mappings are nested more than 50"),
        (
            "\n" + "- " * 30_000 + "x",
            "line 2: lists or mappings are nested more than 50 levels deep",
        ),
        ("title: t\nvalues: &a [*a]\n", "line 2: `*a` refers to itself"),
        ("title: t\nvalues: [*b]\n", "line 2: this is not valid YAML: found undefined alias"),
        ("a: 1\n\na: 2\n", "line 3: the key `a` appears twice (first on line 1)"),
        (
            "title: t\nvalues: [1, .nan]\n",
            "line 2: this is not valid YAML: `.nan` is not a finite number",
        ),
        ("values: [-.inf]\n", "`-.inf` is not a finite number"),
        ("values: [1.0e+999]\n", "`1.0e+999` is not a finite number"),
        (f"values: [{'9' * 5000}]\n", "has 5000 characters, too many for a number or date"),
        (f"values: [0x{'f' * 90}]\n", "is too large a number"),
        (f"values: [{'1:' * 50_000}1]\n", "characters, too many for a number or date"),
        (
            "values: [1, 010]\n",
            "line 1: this is not valid YAML: `010` is read as 8, which is rarely",
        ),
        ("values: [-0_17]\n", "`-0_17` is read as -15"),
        ("values: [1:30]\n", "`1:30` is read as 90, which is rarely intended"),
        ("values: [0x10]\n", "`0x10` is read as 16, which is rarely intended"),
        ("values: [-0b1_1]\n", "`-0b1_1` is read as -3"),
        ("values: [1:30.5]\n", "`1:30.5` is read as 90.5"),
        ("title: no\n", "valid string. YAML reads plain yes, no, on and off as true and false"),
        ("values: [0b]\n", "invalid `values.0` (`0b`)"),
        ("values: !!int x\n", "line 1: this is not valid YAML: `x` is not a valid int"),
        (
            "title: 2001-99-99\n",
            "line 1: this is not valid YAML: `2001-99-99` is not a valid timestamp",
        ),
        ("title: !!bool maybe\n", "`maybe` is not a valid bool"),
        ("title: !!timestamp x\n", "`x` is not a valid timestamp"),
        ("title: !!binary aGk=\n", "`aGk=` has the tag !!binary"),
        ("title: !!set {a, b}\n", "this has the tag !!set"),
        ("title: !!python/object/apply:os.system [id]\n", "could not determine a constructor"),
        ("? [a]\n: 1\n", "line 1: a key must be one word"),
        ("~: 1\n", "line 1"),
        ("a: 1\n---\na: 2\n", "line 2: this is not valid YAML"),
        ("title: [\n", "line 2: this is not valid YAML"),
        ("title: t\nx: \x1b]0;t\x07\n", r"line 2: a text file cannot contain the character '\x1b'"),
        (b"title: t\nx: \xff\n", "line 2: this is not UTF-8 text"),
        (f"{'k' * 1000}: 1\n", "unknown key"),
    ],
)
def test_what_nobody_means_is_told_with_its_line(
    tmp_path: Path, text: str | bytes, words: str
) -> None:
    told = refusal(tmp_path, text)

    assert words in told
    assert told.startswith(f"{tmp_path / 'file.yml'}, line ")
    assert len(told) < 2000


def test_a_file_of_many_mistakes_does_not_fill_the_terminal(tmp_path: Path) -> None:
    told = refusal(tmp_path, f"values: [{', '.join(['x'] * 5000)}]\n")

    assert told.endswith("and 4980 more mistakes.")


def test_as_many_keys_as_may_stand_in_a_file_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "matrix.yml"
    keys = "".join(f"  k{number}: 1\n" for number in range(MOST_NODES // 2 - 10))
    path.write_text(f"title: t\naxes:\n{keys}")
    begun = time.process_time()

    with pytest.raises(HerdError) as caught:
        load_matrix(path)

    assert time.process_time() - begun < 10
    told = str(caught.value)
    assert f"{path}, line 3: invalid `axes.k0`: unknown axis k0" in told
    assert told.count("unknown axis") < 21


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    assert "larger than 8 MiB" in refusal(tmp_path, "#" * (MOST_BYTES + 1))


def test_aliases_and_merge_keys_in_reason_are_values(tmp_path: Path) -> None:
    text = "one: &one {a: 1, b: 2}\ntwo: {<<: *one, b: 3}\nmany: [*one, *one]\n"

    _, content = read_yaml(written(tmp_path, text))

    assert content["two"] == {"a": 1, "b": 3}
    assert content["many"] == [{"a": 1, "b": 2}] * 2


def test_the_deepest_that_is_taken(tmp_path: Path) -> None:
    inside = MOST_DEPTH - 1  # and the mapping around it

    assert read_yaml(written(tmp_path, f"a: {'[' * inside}{']' * inside}"))
    with pytest.raises(YamlTextError, match="more than 50"):
        read_yaml(written(tmp_path, f"a: {'[' * (inside + 1)}{']' * (inside + 1)}"))


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet="ab:-[]{},&*!?|>'\"#%@`~<= \n\t0123.exinf_\\", max_size=60)
    | st.binary(max_size=40)
)
def test_any_text_is_taken_or_told(tmp_path_factory: pytest.TempPathFactory, text: object) -> None:
    data = text.encode() if isinstance(text, str) else bytes(text)  # type: ignore[call-overload]
    path = written(tmp_path_factory.mktemp("yaml"), data)
    told = str(path)
    try:
        load_yaml_file(path, Document, "the document")
    except HerdError as error:
        told = str(error)

    assert str(path) in told


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "On", "true"])
def test_a_key_that_reads_as_true_or_false_is_a_word(tmp_path: Path, word: str) -> None:
    path = tmp_path / "words.yml"
    path.write_text(f"a:\n  {word}: {word}\nb: [{{{word}: 1}}]\n")

    _, found = read_yaml(path)
    assert list(found["a"]) == [word]
    assert isinstance(found["a"][word], bool)
    assert found["b"] == [{word: 1}]
