"""The report: whole, self-contained, and honest about what is missing."""

from __future__ import annotations

import re
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.report import compose, write_report
from collect.account import Account
from collect.workloads import Perplexity
from core.errors import HerdError
from tests.doubles.run_folder import make_run
from tests.doubles.run_frames import Outcomes, make_frames

DLLAMA, LLAMA = "distributed-llama", "llama.cpp"
VOID = {"meta", "link", "br", "img", "hr", "input"}
OWN_SCHEMES = re.compile(r"^(#|data:)|^[\w.-]+\.(csv|png|svg)$")


class Page(HTMLParser):
    """Checks that tags nest; collects ids, addresses that a browser would load, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
                is_link = tag == "a" and str(value).startswith(
                    "https://"
                )  # only a click follows it
                (self.links if is_link else self.addresses).append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        """What a reader sees, spaces made single."""
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run = make_run(folder / "results", unavailable={(DLLAMA, 8): "more nodes than 4 KV heads"})
    return write_report(run, folder / "reports").index.parent


def read(folder: Path) -> Page:
    return Page((folder / "index.html").read_text(encoding="utf-8"))


def composed(outcomes: Outcomes, folder: Path, **options: object) -> tuple[str, Page]:
    run, tables = make_frames(outcomes, **options)  # type: ignore[arg-type]
    verdict = compose(run, tables, folder)
    return verdict, read(folder)


def test_every_tag_is_closed_and_every_id_is_there_once(report: Path) -> None:
    page = read(report)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))


def test_the_page_loads_nothing_from_anywhere(report: Path) -> None:
    html = (report / "index.html").read_text(encoding="utf-8")
    assert not [address for address in read(report).addresses if not OWN_SCHEMES.match(address)]
    assert "@import" not in html
    assert not re.search(r"url\(\s*['\"]?(https?:)?//", html)
    assert not re.search(r"<script[^>]+src|fetch\(|XMLHttpRequest", html)


def test_every_file_that_the_page_names_is_there(report: Path) -> None:
    named = {a for a in read(report).addresses if re.match(r"^[\w.-]+\.(csv|png|svg)$", a)}
    assert named
    assert all((report / name).stat().st_size > 0 for name in named)


def test_every_chart_has_table_picture_and_drawing(report: Path) -> None:
    charts = {path.stem for path in report.glob("*.svg")}
    assert charts == {
        "decode-rate", "decode-time", "speed-up", "efficiency", "time-split", "traffic",
        "prompt-rate", "timeline",
    }  # fmt: skip
    assert charts == {path.stem for path in report.glob("*.png")}
    assert charts <= {path.stem for path in report.glob("*.csv")}
    html = (report / "index.html").read_text(encoding="utf-8")
    assert html.count("<svg ") == len(charts)
    assert html.count("Understanding this chart.") == len(charts)


def test_sections_stand_in_the_order_in_which_a_sceptic_asks(report: Path) -> None:
    sections = [
        "verdict", "ledger", "decode", "decode-rate", "decode-time", "scaling", "speed-up",
        "efficiency", "time", "time-split", "traffic", "prompt", "stability", "timeline",
        "cells", "failures",
        "provenance", "reproduce",
    ]  # fmt: skip
    found = [name for name in read(report).ids if name in sections]
    assert found == sections


def test_the_ledger_is_that_of_the_run(report: Path) -> None:
    text = read(report).text
    assert "planned 24 = done 20 + failed 1 + unavailable 3 + pending 0" in text
    assert "planned 24 = done 20 + failed 1 + unavailable 3 + pending 0" in (
        report / "report.md"
    ).read_text(encoding="utf-8")


def test_failures_tell_their_cause(report: Path) -> None:
    text = read(report).text
    assert "unavailable more nodes than 4 KV heads" in text
    assert "trial 1, attempt 2 failed the root on pi1 ended with status 1" in text
    assert "failed; a later attempt was good" in text


def test_provenance_has_every_node_and_whole_hashes(report: Path) -> None:
    html = (report / "index.html").read_text(encoding="utf-8")
    for node in range(1, 9):
        assert f">pi{node}</th>" in html
    assert f'<td class="hash">{"1f" * 32}</td>' in html
    assert "fab run-matrix --nodes 1,2,4,8" in html
    assert "fab report --run 20261123-scaling" in html


def test_what_a_speed_depends_on_is_shown_of_nodes_and_the_rest_is_folded(tmp_path: Path) -> None:
    run, tables = make_frames({(DLLAMA, 1): [100.0] * 6, (DLLAMA, 2): [200.0] * 6})
    secrets = {"machine_id": "m1", "serial_hash": "5e71a1", "bootloader": "2024-05-03"}
    told = {"board": "Raspberry Pi 5 Model B", "swap_kinds": "zram", "wireless": True, **secrets}
    run = run.model_copy(update={"nodes": dict.fromkeys(run.nodes, told)})

    compose(run, tables, tmp_path)

    shown, _, folded = (
        (tmp_path / "index.html").read_text().partition("Everything the nodes reported")
    )
    assert "Raspberry Pi 5 Model B" in shown
    assert "zram" in shown
    for fact in secrets.values():
        assert fact not in shown.partition('id="provenance"')[2]
        assert fact in folded
    whole = pd.read_csv(tmp_path / "nodes.csv").set_index("Fact")
    assert whole.loc["bootloader", "pi1"] == "2024-05-03"


def test_the_csv_of_decoding_holds_the_tables_of_the_run(report: Path) -> None:
    trials = pd.read_csv(report / "decode-rate.csv").query("kind == 'trial'")
    run = report.parent.parent / "results" / report.name
    table = pd.read_parquet(run / "tables" / "trials.parquet")
    assert sorted(trials["value"]) == pytest.approx(sorted(table["decode_tokens_per_s"].dropna()))


def test_the_same_run_gives_the_same_report_byte_for_byte(report: Path, tmp_path: Path) -> None:
    run = report.parent.parent / "results" / report.name
    again = write_report(run, tmp_path).index.parent
    assert {path.name for path in again.iterdir()} == {path.name for path in report.iterdir()}
    for path in report.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_report_replaces_the_one_before_and_leaves_nothing_else(tmp_path: Path) -> None:
    run = make_run(tmp_path / "results", nodes=(1,), engines=(LLAMA,), failed=(), retried=())
    first = write_report(run, tmp_path / "reports").index.parent
    (first / "old-chart.csv").write_text("x")
    write_report(run, tmp_path / "reports")
    assert not (first / "old-chart.csv").exists()
    assert [path.name for path in (tmp_path / "reports").iterdir()] == [run.name]


def test_a_report_of_four_cells_takes_less_than_six_seconds(tmp_path: Path) -> None:
    run = make_run(tmp_path, nodes=(1, 2), unavailable={}, failed=(), retried=())
    began = time.process_time()
    write_report(run, tmp_path / "reports")
    assert time.process_time() - began < 6


def test_a_run_with_nothing_done_says_so_and_has_no_charts(tmp_path: Path) -> None:
    verdict, page = composed({(DLLAMA, 1): ["failed"], (DLLAMA, 2): ["pending"]}, tmp_path)
    assert verdict.startswith("Nothing was measured")
    assert "planned 2 = done 0 + failed 1 + unavailable 0 + pending 1" in page.text
    assert [path.stem for path in tmp_path.glob("*.svg")] == ["timeline"]  # of what failed
    assert "No cell has two trials with a speed" in (tmp_path / "report.md").read_text(
        encoding="utf-8"
    )


def test_virtual_nodes_are_known_by_their_common_boot(tmp_path: Path) -> None:
    outcomes: Outcomes = {(DLLAMA, 1): [100.0] * 3, (DLLAMA, 2): [150.0] * 3}
    lab, _ = make_frames(outcomes, is_lab=True)
    fleet, _ = make_frames(outcomes, is_lab=False)
    assert lab.share_machine(lab.nodes)
    assert not fleet.share_machine(fleet.nodes)
    _, page = composed(outcomes, tmp_path, is_lab=True)
    assert "not about Raspberry Pis" in page.text


def test_perplexity_has_a_table_that_warns_of_comparing_engines(tmp_path: Path) -> None:
    run = make_run(
        tmp_path, nodes=(1, 2), repeats=1, unavailable={}, failed=(), retried=(),
        workload=Perplexity(text="experiments/texts/alice.txt"),
    )  # fmt: skip
    written = write_report(run, tmp_path / "reports")
    page = read(written.index.parent)
    assert "Perplexity" in written.verdict
    assert "perplexities of different engines are not comparable" in page.text
    assert (written.index.parent / "perplexity.csv").is_file()


def test_link_use_needs_the_speed_of_every_link(tmp_path: Path) -> None:
    outcomes: Outcomes = {(DLLAMA, 1): [100.0] * 3, (DLLAMA, 2): [100.0] * 3}
    for known, folder in ((1000, tmp_path / "known"), (None, tmp_path / "unknown")):
        folder.mkdir()
        composed(outcomes, folder, link_mbit=known)
    # 76 KiB a token, 100 tokens/s: 62.3 Mbit/s of 1000.
    assert pd.read_csv(tmp_path / "known/link-use.csv")["mean_use"][0] == pytest.approx(
        0.0623, 1e-2
    )
    assert pd.read_csv(tmp_path / "unknown/link-use.csv")["mean_use"].isna().all()


def test_text_from_a_run_cannot_become_markup(tmp_path: Path) -> None:
    _, page = composed(
        {("<script>alert(1)</script>", 1): [1.0] * 3, ("<b>", 2): ["pending"]}, tmp_path
    )
    assert page.open == []
    assert "alert(1)" in page.text
    assert "<script>alert" not in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_damaged_plan_is_one_plain_error(tmp_path: Path) -> None:
    run = make_run(tmp_path / "results", nodes=(1,), engines=(LLAMA,))
    (run / "run.json").write_text("{")
    with pytest.raises(HerdError, match=r"run\.json is damaged"):
        write_report(run, tmp_path / "reports")


def test_a_folder_that_cannot_be_written_is_one_plain_error(tmp_path: Path) -> None:
    run = make_run(tmp_path / "results", nodes=(1,), engines=(LLAMA,))
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(HerdError, match="Writing the report of 20261123-scaling"):
        write_report(run, tmp_path / "reports")


OUTCOMES = st.one_of(st.floats(0.5, 500), st.sampled_from(["failed", "unavailable", "pending"]))


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    outcomes=st.dictionaries(
        st.tuples(st.sampled_from([DLLAMA, LLAMA]), st.sampled_from([1, 2, 4, 8])),
        st.lists(OUTCOMES, min_size=1, max_size=4),
        min_size=1,
        max_size=5,
    )
)
def test_any_mixture_of_states_renders_and_its_ledger_adds_up(
    outcomes: Outcomes, tmp_path: Path
) -> None:
    folder = tmp_path / "mixture"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()

    _, page = composed(outcomes, folder)

    ledger = re.search(
        r"planned (\d+) = done (\d+) \+ failed (\d+) \+ unavailable (\d+) \+ pending (\d+)",
        page.text,
    )
    assert ledger
    planned, *parts = map(int, ledger.groups())
    assert planned == sum(parts) == sum(map(len, outcomes.values()))
    assert parts[0] == sum(isinstance(o, float) for results in outcomes.values() for o in results)
    assert page.open == []


def test_the_ledger_of_a_report_is_the_account_of_the_run(report: Path) -> None:
    counts = Account.read(report.parent.parent / "results" / report.name).counts()
    sums = " + ".join(f"{state} {counts[state]}" for state in counts if state != "planned")
    assert f"planned {counts['planned']} = {sums}" in read(report).text
