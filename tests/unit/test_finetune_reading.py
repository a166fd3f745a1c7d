"""Data in every format, and every damaged line named with its file and line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import HerdError
from experiments.finetune.data.listed_data import load_data_list
from experiments.finetune.data.reading import read_data
from experiments.finetune.recipe import load_recipe
from tests.doubles.finetune_data import recipe, write_jsonl

ROWS: list[dict[str, object]] = [
    {"q": "One?", "a": "1\n, “one”", "more": 1},
    {"q": "둘?", "a": "2", "more": 2},
]
PAIR = {"prompt": "q", "response": "a"}


def _read(folder: Path, data: str, **values: object) -> list[tuple[str, ...]]:
    read = read_data(recipe(folder, data, **values), lambda _: None)
    return [tuple(turn.text for turn in one.turns) or (one.text,) for one in read.documents]


def test_all_formats_give_the_same_documents(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "d.jsonl", ROWS)
    (tmp_path / "d.json").write_text(json.dumps(ROWS, ensure_ascii=False))
    pd.DataFrame(ROWS).to_csv(tmp_path / "d.csv", index=False, encoding="utf-8-sig")
    pd.DataFrame(ROWS).to_parquet(tmp_path / "d.parquet")
    expected = [("One?", "1\n, “one”"), ("둘?", "2")]
    for suffix in ("jsonl", "json", "csv", "parquet"):
        assert _read(tmp_path, f"d.{suffix}", columns=PAIR) == expected


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (b'{"q": "x"', "it is no JSON object"),
        (b'["q", "a"]', "it is no JSON object: an entry must be `{…}`; in JSONL each has one"),
        (b'{"q": "x"}', "it has no `a`, which `columns` names, only q"),
        (b'{"q": "x", "a": }', "it is no JSON object: Expecting value (character 17 of the line)"),
        (b"{", "it is no JSON object: Expecting property name"),
        (b'{"q": "x", "a": 3}', "`a` must be a text, but it is a number"),
        (b'{"q": "x", "a": null}', "`a` must be a text, but it is null"),
        (b'{"q": "x", "a": "  "}', "`a`: it is empty"),
        (b'{"q": "x", "a": "\xff"}', "it is not UTF-8 text"),
        (b'{"q": "x", "a": "\\u0000"}', "it contains a NUL character"),
        (b'{"q": "x", "a": "\\ud800"}', "half a character"),
        (b'{"q": "x", "a": "\0"}', "it contains a NUL character"),
        (b'{"q": "x", "q": "y", "a": "z"}', "the key q appears twice"),
        (b'{"q": "x", "a": "y", "z": NaN}', "NaN is not a number"),
        (b'\xef\xbb\xbf{"q": "x", "a": "y"}', "it is no JSON object"),
        (b"", "it is empty"),
        (b'{"q": "x", "a": "' + b"y" * (1 << 20) + b'"}', "bytes; at most"),
        (b"[" * 100_000, "it is no JSON object"),
        (b'{"q": ' + b"9" * 5000 + b"}", "it has a number of thousands of digits"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes, wrong: str) -> None:
    good = b'{"q": "One?", "a": "1"}'
    (tmp_path / "d.jsonl").write_bytes(b"\n".join([good, line, good]) + b"\n")
    with pytest.raises(HerdError) as caught:
        _read(tmp_path, "d.jsonl", columns=PAIR)
    assert "d.jsonl, line 2: " in str(caught.value)
    assert wrong in str(caught.value)


def test_many_damaged_lines_are_counted(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text("{\n" * 50)
    with pytest.raises(HerdError, match=r"(?s)^50 entries are damaged.*line 8.*and 42 more"):
        _read(tmp_path, "d.jsonl", columns=PAIR)


@pytest.mark.parametrize(
    ("name", "content", "wrong"),
    [
        ("d.json", b'[{"q": "x",\n "a": "y"},\n{]', "line 3: it is not valid JSON"),
        ("d.json", b'{"q": "x"}', "line 1: the file must be a list of objects"),
        ("d.json", b'[{"q": "x", "a": "y"}] 3', "there is something after the end"),
        ("d.json", b'[{"q": "x", "a": "y"},]', "after the last entry there must be no `,`"),
        ("d.json", b"[" * 100_000, "line 1: it is not valid JSON: it is nested too deeply"),
        ("d.json", b'[{"q": "x",\n"a" "y"}]', "line 2: it is not valid JSON: Expecting ':'"),
        ("d.csv", b"q,a\nx,y\nx,y,z\n", "line 3: it has 3 values, but there are 2 columns"),
        ("d.csv", b"q,q\nx,y\n", "line 1: the column `q` appears twice"),
        ("d.csv", b"q,b\nx,y\n", "line 1: there is no column `a`; there are: q, b"),
        ("d.csv", b'q,a\nx,"y\n', 'line 2: it is not valid CSV: a quote (") that opens here'),
        ("d.csv", b"q;a\nx;y\n", "with commas between the columns, not with ';'"),
        ("d.csv", "q,a\n".encode("utf-16"), "line 1: this is UTF-16 text"),
        ("d.csv", b"q,a\nx,\0\n", "line 2: it contains a NUL character"),
        ("d.csv", b"q,a\nx,\xff\n", "line 2: this is not UTF-8 text"),
        ("d.parquet", b"PAR1", "row 1: it is not a readable Parquet file"),
        ("d.jsonl", "{}".encode("utf-16"), "line 1: this is UTF-16 text"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, wrong: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(HerdError) as caught:
        _read(tmp_path, name, columns=PAIR)
    assert wrong in str(caught.value)


def test_what_is_long_or_blank_at_the_end_is_read(tmp_path: Path) -> None:
    long = "y" * 500_000
    (tmp_path / "d.csv").write_text(f"q,a\nx,{long}\n\n")
    (tmp_path / "d.jsonl").write_text('{"q": "x", "a": "y"}\n\n \n')
    assert _read(tmp_path, "d.csv", columns=PAIR) == [("x", long)]
    assert _read(tmp_path, "d.jsonl", columns=PAIR) == [("x", "y")]


def test_a_packed_file_is_bounded_by_what_it_unpacks_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dictionary says a text once and a row for it in a bit: 517 bytes were 2 GB."""
    monkeypatch.setattr("experiments.finetune.data.formats.MOST_BYTES", 1 << 20)
    text = pa.array(["y" * (1 << 16)] * 20).dictionary_encode()
    pq.write_table(pa.table({"t": text}), tmp_path / "d.parquet", compression="zstd")
    assert (tmp_path / "d.parquet").stat().st_size < 5000
    with pytest.raises(HerdError, match=r"d.parquet has more than 1 MiB of text: write less"):
        _read(tmp_path, "d.parquet", columns={"text": "t"})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("link.txt", r"link.txt: it is a link. Give the file itself in its place"),
        ("pipe.txt", r"pipe.txt is no regular file"),
        ("a\x1b[31m.txt", r"a name that cannot be printed, 'a\\x1b\[31m.txt': rename it"),
        (b"\xff.txt", r"a name that cannot be printed"),
    ],
)
def test_what_is_no_plain_file_is_refused(tmp_path: Path, name: str | bytes, wrong: str) -> None:
    (folder := tmp_path / "all").mkdir()
    path = os.path.join(os.fsencode(folder), os.fsencode(name))  # noqa: PTH118 - bytes
    if b"link" in path:
        (tmp_path / "t.txt").write_text("x")
        os.symlink(os.fsencode(tmp_path / "t.txt"), path)  # noqa: PTH211 - bytes
    elif b"pipe" in path:
        os.mkfifo(path)
    else:
        os.close(os.open(path, os.O_CREAT))
    with pytest.raises(HerdError, match=wrong):
        _read(tmp_path, "all")


def test_messages_must_alternate(tmp_path: Path) -> None:
    asked = {"role": "user", "content": "Hello"}
    write_jsonl(tmp_path / "d.jsonl", [{"m": [asked, asked]}, {"m": [asked | {"name": "x"}]}])
    with pytest.raises(HerdError) as caught:
        _read(tmp_path, "d.jsonl", columns={"messages": "m"})
    assert "line 1: `m`: the roles must be user and assistant in turn" in str(caught.value)
    assert "line 2: `m`, message 1 must have `role` and `content`" in str(caught.value)


def test_plain_text_is_cut_at_blank_lines_and_a_folder_by_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One.\r\n\r\nStill one.\r\n\r\n\r\nTwo.")
    (tmp_path / "b.txt").write_text("One.\n\nTwo.\n")
    assert _read(tmp_path, "a.txt") == [("One.\n\nStill one.",), ("Two.",)]
    assert _read(tmp_path, "b.txt") == [("One.",), ("Two.",)]
    (folder := tmp_path / "both").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).rename(folder / name)
    assert len(_read(tmp_path, "both")) == 2
    (folder / "c.pdf").touch()
    with pytest.raises(HerdError, match=r"c.pdf is no file of a known kind"):
        _read(tmp_path, "both")


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ("columns: {text: a, prompt: b}", "line 5: invalid `columns`: name either `text`, or"),
        ("columns: {prompt: b}", "line 5: invalid `columns`: name either `text`, or"),
        ("method: full\nrank: 4", "line 6: `rank` says nothing with `method: full`"),
        ("prompts: 4", "line 5: `prompts` says nothing with `method: lora`"),
        ("targets: [q, q]", "line 5: invalid `targets`: it names q twice"),
        ("batch: true", "line 5: invalid `batch`"),
        ("epochs: 2", "write either `steps` or `epochs`, not both"),
        ("learnin_rate: 1", "line 5: unknown key `learnin_rate`. Did you mean `learning_rate`?"),
    ],
)
def test_a_recipe_is_refused_with_its_line(tmp_path: Path, lines: str, wrong: str) -> None:
    path = tmp_path / "r.yml"
    path.write_text(f"name: x\nmodel: stories15m\ndata: d.jsonl\nsteps: 3\n{lines}\n")
    with pytest.raises(HerdError) as caught:
        load_recipe(path)
    assert wrong in str(caught.value)


@pytest.mark.parametrize("name", ["..", "X", "a/b", "x+kv4", "한글", "-x", "''"])
def test_a_name_that_no_model_can_have_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "r.yml"
    path.write_text(f"name: {name}\nmodel: stories15m\ndata: d.txt\nsteps: 3\n")
    with pytest.raises(HerdError, match=r"line 1: invalid `name` .*use lower-case letters a to z"):
        load_recipe(path)


def test_a_recipe_says_what_data_and_how_long(tmp_path: Path) -> None:
    path = tmp_path / "r.yml"
    path.write_text("name: x\nmodel: stories15m\ndata: ''\n")
    with pytest.raises(HerdError, match=r"line 3: invalid `data`"):
        load_recipe(path)
    path.write_text("name: x\nmodel: stories15m\ndata: d.txt\n")
    with pytest.raises(HerdError, match=r"write either `steps` or `epochs`: neither is there"):
        load_recipe(path)


def test_data_that_is_nowhere_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    path = tmp_path / "r.yml"
    path.write_text("name: x\nmodel: stories15m\ndata: talse\nsteps: 3\n")
    with pytest.raises(HerdError, match=r"r.yml, line 3: `data` is talse.*tales, small-talk"):
        read_data(load_recipe(path), lambda _: None)


def test_the_list_of_data_is_pinned() -> None:
    listed = load_data_list()
    assert all(file.sha256 for entry in listed.values() for file in entry.files)
