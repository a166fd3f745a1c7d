"""An exported run names no one, is the same bytes each time, and still gives the same figures."""

from __future__ import annotations

import html
import json
import shutil
import tarfile
import unicodedata
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
import yaml
from pyarrow import parquet

from analysis.report import write_report
from collect.account import Account
from collect.attempt import check_logs
from collect.sharing.exported import Exported, export_run, write_without_names
from collect.sharing.imported import import_run
from collect.sharing.leftovers import words_around
from collect.sharing.marker import imported_of
from collect.sharing.pseudonyms import Pseudonyms, example_address
from collect.sharing.renamed import pseudonyms_of
from collect.sharing.words import is_generic, require_nameable
from core.digest import sha256_of
from core.errors import HerdError
from experiments.disk.ledger import find_planned
from tests.doubles.named_run import HIDDEN, SECRETS, named_run

ENCODINGS = ("utf-16-le", "utf-16-be", "euc-kr")
RUNS = Path(__file__).resolve().parents[1] / "data" / "runs"
FIGURES = ("decode-rate.csv", "decode-time.csv", "cells.csv", "comparisons.csv", "links.csv")


def packed(run: Path, archive: Path, **options) -> Exported:  # noqa: ANN003
    return export_run(run, archive, write_report, "0.1.0", **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return named_run(tmp_path_factory.mktemp("named") / "results")


@pytest.fixture(scope="module")
def made(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return packed(run, tmp_path_factory.mktemp("out") / "run.tar.gz", hide=HIDDEN)


@pytest.fixture(scope="module")
def opened(made: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("opened")
    with tarfile.open(made.archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


def test_none_of_the_names_is_in_any_file_or_name(opened: Path) -> None:
    for path in opened.rglob("*"):
        texts = [path.relative_to(opened).as_posix()]
        if path.suffix == ".parquet":
            texts.append(parquet.read_table(path).to_pandas().to_csv())
        elif path.is_file():
            content = path.read_bytes()
            text = content.decode("utf-8", "replace")
            texts += [text, html.unescape(text), content.replace(b"\0", b"").decode("latin-1")]
            found = [name for name in SECRETS for way in ENCODINGS if name.encode(way) in content]
            assert found == [], path
        for text in texts:
            found = [name for name in SECRETS if name.casefold() in text.casefold()]
            assert found == [], path


def test_the_first_node_is_the_root_and_addresses_follow_the_order_of_nodes(opened: Path) -> None:
    run = json.loads(next(opened.glob("results/*/run.json")).read_text())
    assert list(run["nodes"]) == ["node-1", "node-2"]
    assert [facts["address"] for facts in run["nodes"].values()] == ["192.0.2.1", "192.0.2.2"]
    assert all(cell["nodes"][0] == "node-1" for cell in run["cells"])
    assert run["matrix_file"].startswith("/path-")
    log = next(opened.glob("results/*/attempts/*/node-2.worker.out")).read_text()
    assert "connect to node-1 (192.0.2.1) from node-1\nas user-1@host-1.example" in log
    assert "loopback 127.0.0.1, version 0.7.0" in log
    assert "node-2은 192.0.2.2" in log


def test_ids_that_are_hashes_of_names_are_others(run: Path, opened: Path) -> None:
    first, second = (
        json.loads(next(folder.glob(pattern)).read_text())
        for folder, pattern in ((run, "run.json"), (opened, "results/*/run.json"))
    )
    assert [cell["params"]["on"] for cell in second["cells"]] == ["node-1+node-2"] * 2
    before, after = ({cell["cell_id"] for cell in one["cells"]} for one in (first, second))
    assert len(after) == len(before)
    assert not before & after
    assert first["plan_id"] != second["plan_id"]
    names = " ".join(path.as_posix() for path in opened.rglob("*"))
    assert not any(cell_id in names for cell_id in before)


def test_what_was_measured_is_the_same(run: Path, opened: Path, tmp_path: Path) -> None:
    shared = next(opened.glob("results/*"))
    before, after = Account.read(run), Account.read(shared)
    assert before.counts() == after.counts()
    for trial in after.trials:
        for attempt in trial.attempts:
            assert attempt.record is not None
            check_logs(attempt.folder, attempt.record)
    write_report(run, tmp_path)
    for name in FIGURES:
        first = pd.read_csv(tmp_path / run.name / name)
        second = pd.read_csv(opened / "reports" / run.name / name)
        pd.testing.assert_frame_equal(
            first.select_dtypes("number"), second.select_dtypes("number"), check_exact=True
        )


def test_every_file_has_its_hash(opened: Path) -> None:
    lines = (opened / "SHA256SUMS").read_text().splitlines()
    listed = dict(reversed(line.split("  ", 1)) for line in lines)
    files = {path.relative_to(opened).as_posix() for path in opened.rglob("*") if path.is_file()}
    assert listed.keys() == files - {"SHA256SUMS"}
    assert all(sha256_of(opened / name) == digest for name, digest in listed.items())


def test_the_same_run_gives_the_same_bytes(run: Path, made: Exported, tmp_path: Path) -> None:
    again = tmp_path / "elsewhere" / run.name
    shutil.copytree(run, again)
    assert packed(again, tmp_path / "other.tar.gz", hide=HIDDEN).sha256 == made.sha256


def test_the_citation_names_the_run_its_day_and_authors(
    opened: Path, run: Path, tmp_path: Path
) -> None:
    told = yaml.safe_load((opened / "CITATION.cff").read_text())
    assert told["cff-version"] == "1.2.0"
    assert told["type"] == "dataset"
    assert run.name in told["title"]
    assert str(told["date-released"]) == "2026-11-28"
    assert told["authors"] == [{"name": "Anonymous"}]


def test_an_imported_run_is_marked_and_no_run_of_this_machine_continues_it(
    made: Exported, tmp_path: Path
) -> None:
    taken = import_run(made.archive, tmp_path / "results", write_report, "0.1.0")
    mark = imported_of(taken.folder)
    assert mark is not None
    assert (mark.archive, mark.sha256, mark.names) == ("run.tar.gz", made.sha256, "replaced")
    plan = Account.read(taken.folder).manifest.plan_id
    assert find_planned(tmp_path / "results", plan) is None
    with pytest.raises(HerdError, match="exists already"):
        import_run(made.archive, tmp_path / "results", write_report, "0.1.0")


def test_with_names_they_stay_but_a_key_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="looks like a key"):
        packed(run, tmp_path / "a.tar.gz", with_names=True)
    assert not (tmp_path / "a.tar.gz").exists()


def test_an_archive_that_exists_is_not_replaced(run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_text("mine")
    with pytest.raises(HerdError, match="exists already"):
        packed(run, tmp_path / "a.tar.gz")
    assert (tmp_path / "a.tar.gz").read_text() == "mine"


def test_a_name_that_is_left_is_found_and_nothing_is_packed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pseudonyms, "data", lambda _, content: content)
    with pytest.raises(HerdError, match="names are left"):
        packed(run, tmp_path / "a.tar.gz", hide=HIDDEN)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["root", "pi", "a", "Worker", "cells", "unit", "benchmark"])
def test_a_node_whose_name_is_a_word_of_logs_is_refused_by_name(name: str) -> None:
    with pytest.raises(HerdError, match=name):
        require_nameable([name])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pi1:9998", "node-1:9998"),
        ("PI1.local.", "node-1."),
        ("pi1.root.out", "node-1.root.out"),
        ("pi10 raspi1 xpi1x", "pi10 raspi1 xpi1x"),
        ("herd-pi1_2", "herd-node-1_2"),
        ("10.0.0.7, 10.0.0.8, 10.0.0.7", "192.0.2.1, 192.0.2.2, 192.0.2.1"),
        ("127.0.0.1 0.0.0.0 300.1.1.1 1.2.3", "127.0.0.1 0.0.0.0 300.1.1.1 1.2.3"),
        ("v1.2.3.4.5", "v1.2.3.4.5"),
        ("::1 std::vector a::b 12:34:56", "::1 std::vector 2001:db8::1 12:34:56"),
        ("AA-BB-CC-DD-EE-FF", "02:00:00:00:00:01"),
        ("/opt/llama-herd/x /usr/bin/y and/or 1/2", "/opt/llama-herd/x /usr/bin/y and/or 1/2"),
        ("git@github.com:x", "git@github.com:x"),
        ("https://u:secretpw@h.example/", "https://secret-1@h.example/"),
        ("\x1b[32mpi1\x1b[0m \x1b[1;38;5;12mpi1", "\x1b[32mnode-1\x1b[0m \x1b[1;38;5;12mnode-1"),
        (r'{"e":"\npi1\t10.0.0.7\r/home/pi/x"}', r'{"e":"\nnode-1\t192.0.2.1\r/path-1"}'),
        (r'"\nkim@lab.kr \uc740pi1"', r'"\nuser-1@host-1.example \uc740node-1"'),
        ("%20pi1%2Fpi1", "%20node-1%2Fnode-1"),
        ("주소 10.0.0.7에서 eth0_10.0.0.8_1", "주소 192.0.2.1에서 eth0_192.0.2.2_1"),
        ("at fe80::1ff:fe23. 2a02:8109::5: refused", "at 2001:db8::1. 2001:db8::2: refused"),
        ("::ffff:10.0.0.7 fe80:: 2a02::5", "2001:db8::1 2001:db8::2 2001:db8::3"),
        ("cafe:9998 Cafe: git@pi1.lab", "node-2:9998 node-2: git@node-1"),
        ("/volume1/kim/a /var/home/kim/b.yml /home2/kim", "/path-1 /path-2.yml /path-3"),
        ("cc -I/home/pi/x 파일/mnt/a.yml", "cc -I/path-1 파일/path-2.yml"),
        ("enxb827eb123456", "enx02:00:00:00:00:01"),
        ("gsk_abcdefghijklmnopqrstuvwxyz", "secret-1"),
        ("ip-10-0-0-7.ec2.internal (10.0.0.7)", "ip-192-0-2-1 (192.0.2.1)"),
        ("pool-3-34-5-6.dyn.isp.net ec2-3-34-5-6", "ip-192-0-2-1 ip-192-0-2-1"),
        ("0123.4567.89ab 01-23-45-67-89-AB", "02:00:00:00:00:01 02:00:00:00:00:01"),
        ("/Users/kim lee/x, /Users/kim\\ lee/x y", "/path-1, /path-2 y"),
        (r"C:\Users\Kim Lee\m.gguf c:/users/Kim Lee/x", "/path-1.gguf /path-2"),
        (r'"C:\\Users\\Kim Lee\\m.gguf"', '"/path-1.gguf"'),
        ("rm /home/kim and a/b && cd /home/kim && ./x", "rm /path-1 and a/b && cd /path-1 && ./x"),
        ("ssh://kim@git.firm.example:22/a/x.git", "ssh://git-1.example/repository-1.git"),
        ("git@git.firm.example:a/x.git, git.firm.example",
         "git@git-1.example:repository-1.git, git-1.example"),
        ("https://kim:geheim@github.com/a/x.git", "https://github.com/repository-1.git"),
        ("DESKTOP-AB12CD3", "pc-1"),
        ("pi1-eth0, kim_x KIM-X", "node-1-eth0, user-of-1_x user-of-1-X"),
    ],
)  # fmt: skip
def test_what_is_replaced(text: str, told: str) -> None:
    names = Pseudonyms({"pi1": "node-1", "cafe": "node-2"}, exact={"kim": "user-of-1"})
    names.text(text)  # what is recognised at one place is known at all others from then on
    assert names.text(text) == told
    assert names.text(told) == told


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/b4rtaz/distributed-llama.git git@github.com:ggml-org/llama.cpp.git",
        "https://huggingface.co/a/b ssh://git@gitlab.com/a/b.git https://docs.python.org/3/x",
        "spans 4-2-1-1 shares=2-2-2-2 x-4-2-1-1.worker.out 4-2-1-1.root.err 2026-11-28-10",
        "0.18.112.147 I load: 1.12.145.178 I print: 12.13.145.178 W done",
        "1234.5678.9012 1.2345.6789 cafe.babe and 0.1234 3-4-5-6.7 1-2-3-4 a-1-2-3-4",
        "/home and /Users, C:\\ and D:/ in 3.2 s/token at 4 tokens/s",
        "0x7ffe, 4096:16, 12:34:56, 1.5-2.5-3.5, DESKTOP-X, ip-1, ip-300-1-1-1",
    ],
)
def test_what_only_looks_so_stays(text: str) -> None:
    assert Pseudonyms({"pi1": "node-1"}).text(text) == text


@pytest.mark.parametrize("form", ["utf-16", "utf-16-le", "utf-16-be", "cp949", "utf-8"])
def test_a_log_keeps_its_encoding(form: str) -> None:
    names = Pseudonyms({"pi1": "node-1", "라즈베리2": "node-2"})
    before, after = "pi1, 10.0.0.7: 라즈베리2은 ok\n", "node-1, 192.0.2.1: node-2은 ok\n"
    assert names.data(before.encode(form)) == after.encode(form)
    assert names.data(b"x\n" + before.encode(form) + b"\n") == b"x\n" + after.encode(form) + b"\n"


def test_a_host_of_source_that_is_known_is_found_alone() -> None:
    names = Pseudonyms({})
    names.text("git@git.firm.example:a/x.git")
    assert names.text("ping GIT.firm.example: ok") == "ping git-1.example: ok"


def test_a_korean_name_is_found_in_every_spelling() -> None:
    names = Pseudonyms({"라즈베리2": "node-1"}, exact={"김도연": "user-of-1"})
    for name, told in {**names.names, **names.exact}.items():
        escaped = name.encode("ascii", "backslashreplace").decode()
        for spelt in (
            name, unicodedata.normalize("NFD", name), escaped, quote(name), quote(name).lower(),
        ):  # fmt: skip
            assert names.text(f"at {spelt}: x") == f"at {told}: x"


def test_what_was_replaced_once_stays() -> None:
    names = Pseudonyms({"pi1": "node-1"})
    text = " ".join(("pi1", *SECRETS))
    names.text(text)
    once = names.text(text)
    assert names.text(once) == once
    assert names.secrets == 2


@pytest.mark.parametrize("word", ["", "  ", "ab", "model", "Benchmark", "cells"])
def test_a_word_to_hide_that_records_use_is_refused_by_name(word: str, run: Path) -> None:
    with pytest.raises(HerdError, match="--hide"):
        pseudonyms_of(run, Account.read(run), [word])


def test_a_word_to_hide_that_is_nowhere_is_told_and_blanks_around_one_do_not_matter(
    run: Path, tmp_path: Path
) -> None:
    words = (f" {HIDDEN[0]}\t", HIDDEN[0].upper(), "Nirgendwo")
    made = packed(run, tmp_path / "a.tar.gz", hide=words, authors=["", "Kim"])
    assert made.not_found == ("Nirgendwo",)
    with tarfile.open(made.archive) as tar:
        told = yaml.safe_load(tar.extractfile("./CITATION.cff").read())  # type: ignore[union-attr]
    assert told["authors"] == [{"name": "Kim"}]


def test_addresses_that_belong_to_no_one_are_enough_for_a_large_fleet() -> None:
    many = {example_address(n) for n in range(1, 100_000)}
    assert len(many) == 99_999


@pytest.mark.parametrize("name", ["model", "run", "root", "ubuntu", "ab"])
def test_a_user_whose_name_is_a_word_of_records_is_no_name(name: str) -> None:
    assert is_generic(name)


def test_a_users_name_is_one() -> None:
    assert not is_generic("kimdoyeon")


STORED = sorted(path.parent for path in RUNS.glob("*/run.json"))


@pytest.mark.parametrize("stored", STORED, ids=lambda path: path.name)
def test_in_a_real_run_only_its_addresses_and_ids_are_taken_for_names(
    stored: Path, tmp_path: Path
) -> None:
    run = tmp_path / stored.name
    shutil.copytree(stored, run, ignore=shutil.ignore_patterns("expected"))
    account = Account.read(run)
    _, names = write_without_names(run, account, tmp_path / "shared")  # no figure changed
    plan = account.manifest.model_dump_json()
    odd = [what for what in names.found if what not in plan and not what.startswith("10.77.")]
    assert odd == []
    assert names.secrets == 0
    assert words_around(tmp_path / "shared", names) == ()


def test_words_with_a_short_name_between_letters_are_named(tmp_path: Path) -> None:
    names = Pseudonyms({"pi1": "node-1"}, exact={"kim": "user-of-1"})
    wide = "kim2".encode("utf-16-le")
    (tmp_path / "log").write_bytes(b"pi1eth0 node-1 Kimchi api10 " + b"A" * 30 + b"pi1 " + wide)
    assert words_around(tmp_path, names) == ("pi1eth0", "Kimchi", "api10", "kim2")
