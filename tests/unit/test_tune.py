"""`fab tune`: from settings to a confirmed gain, on an engine of known truth; also when killed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.settings.judgement import judge
from analysis.settings.page import write_search_page
from collect.account import Account
from collect.load import load_run
from core.errors import HerdError
from core.paths import PROJECT_FOLDER
from experiments.nodes.owner import Owner, own_results
from experiments.planning.matrix import Matrix, load_matrix
from experiments.runner import RunResult
from experiments.tune.beginning import begin, search_lines
from experiments.tune.record import TUNINGS, UnfinishedError, find_search
from experiments.tune.winner import require_ours, write_winner
from tests.doubles.tuned_machine import Bench, asked_for, matrix

BEST = {"net_turbo": False, "threads": 3}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A machine on which a whole search came to its end."""
    bench = Bench(tmp_path_factory.mktemp("tune"))
    bench.search(asked_for())
    return bench


def test_the_best_setting_is_found_and_confirmed(searched: Bench) -> None:
    found = searched.search(asked_for())
    judged = judge(found)

    assert found.best is not None
    assert found.best.setting == BEST
    assert found.confirmation is not None
    assert found.confirmation.pairs == 10
    assert judged.is_gain
    assert re.fullmatch(
        r"Net-turbo off, 3 threads is 3\.[6-9]\d? times as fast as the default \(3\.\d+ to "
        r"[34]\.\d+\)\.",
        judged.answer,
    )


def test_each_rung_is_a_run_and_a_complete_search_measures_nothing(searched: Bench) -> None:
    before = sorted(searched.results.glob("tune-*"))
    runs = [load_run(path) for path in before]

    searched.search(asked_for())

    assert sorted(searched.results.glob("tune-*")) == before
    assert [run.title.rpartition(": ")[2] for run in runs] == [
        "rung 1", "rung 2", "rung 3", "confirmation",
    ]  # fmt: skip
    assert [len(run.cells) for run in runs] == [8, 3, 2, 2]
    assert [run.repeats for run in runs] == [2, 4, 8, 10]
    assert len({run.seed for run in runs}) == 4


def test_settings_that_crash_are_failures_with_their_cause(searched: Bench) -> None:
    found = searched.search(asked_for())
    failed = [one for one in found.tried if one.fate == "failed"]

    assert [one.setting["threads"] for one in failed] == [1, 1]
    assert all("2 of 2 trials failed: the root on pi1 ended" in str(one.cause) for one in failed)
    assert all(one.trials == 0 and one.gain is None for one in failed)


def test_the_page_has_all_settings_rungs_failures_and_pairs(
    searched: Bench, tmp_path: Path
) -> None:
    found = searched.search(asked_for())
    judged = judge(found)

    page = write_search_page(found, judged, tmp_path, "fab run-matrix --matrix best.yml")

    told = (page.parent / "report.md").read_text()
    assert judged.answer in told
    assert "fab run-matrix --matrix best.yml" in told
    for run in (one.run for one in found.rungs):
        assert run in told
    settings = pd.read_csv(page.parent / "settings.csv")
    assert list(settings["fate"]) == ["best", *["slower"] * 5, *["failed"] * 2]
    pairs = pd.read_csv(page.parent / "pairs.csv")
    compared = pd.read_csv(page.parent / "comparisons.csv")
    answer = pairs[pairs["what"] == "answer"]
    assert len(answer) == 10
    middle = float(compared["ratio"][0])
    assert answer["ratio"].min() < middle < answer["ratio"].max()


def test_the_matrix_of_the_best_setting_loads_and_an_edited_one_is_kept(
    searched: Bench, tmp_path: Path
) -> None:
    found, path = searched.search(asked_for()), tmp_path / "best.yml"

    write_winner(path, matrix(), found, "It is faster.")
    write_winner(path, matrix(), found, "It is faster, said again.")

    [cell] = load_matrix(path).cells()
    assert {name: cell.params[name] for name in BEST} == BEST
    assert "said again" in path.read_text()
    path.write_text(path.read_text().replace("- 3", "- 2"))
    with pytest.raises(HerdError, match="was edited"):
        write_winner(path, matrix(), found, "It is faster.")
    path.write_text("title: mine\n")
    with pytest.raises(HerdError, match="was not written by"):
        require_ours(path)
    with pytest.raises(HerdError, match="in a folder that exists"):
        require_ours(tmp_path / "none" / "best.yml")


def test_a_dry_run_lists_settings_trials_and_time_and_measures_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    told = "\n".join(search_lines(asked_for(), bench.results, bench.look))

    assert "8 of 8 settings that can run here, the default first:\n  net_turbo=true, t" in told
    assert "  rung 1: 8 settings, 2 trials each\n  rung 2: 4 settings, 4 trials each" in told
    assert "confirmation: 10 pairs" in told
    assert "70 to 94 trials" in told
    assert "Estimated time: 11 min 40 s to 15 min 40 s (none was measured yet: assuming 10" in told
    assert not bench.results.exists()


def test_where_all_settings_are_alike_the_default_stays(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (bench.machine / "engines" / "distributed-llama" / "bin" / "flat").touch()

    found = bench.search(asked_for(matrix(net_turbo=(True, False), threads=(0,))))

    judged = judge(found)
    assert not judged.is_gain
    assert judged.answer.endswith("keep the default.")


def test_where_every_setting_fails_nothing_is_recommended(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (bench.machine / "engines" / "distributed-llama" / "bin" / "fails").touch()

    found = bench.search(asked_for(matrix(net_turbo=(True, False), threads=(0,))))

    assert found.best is None
    assert judge(found).answer.startswith("Every setting failed")


def test_a_default_that_fails_is_named_and_no_gain_is_stated(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    asked = asked_for(matrix(threads=(1, 3), net_turbo=(False,)))
    bench.search(asked)
    found = bench.search(asked)

    # The default, all cores, works here: so it is compared with.
    assert found.default_fails is None
    fails = replace(found, default_fails="it needs more memory.", confirmation=None)
    judged = judge(fails)
    assert judged.answer.startswith("The default fails here (it needs more memory). 3 threads")


def test_a_time_budget_begins_with_two_trials_that_say_how_long_one_takes(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    asked = asked_for(matrix(net_turbo=(True, False), threads=(0,)), budget="30min")

    bench.search(asked)

    assert "2 trials are measured first" in bench.lines[0]
    first = min(bench.results.glob("tune-*"))
    assert load_run(first).title.endswith("pilot")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pairs": 2**53}, "pairs: Input should be less than or equal to 1000"),
        ({"pairs": 9}, "pairs: Input should be greater than or equal to 10"),
        ({"speed": "fast"}, "speed: give one of answer, decode, prefill"),
        ({"axes": {"nope": [1, 2]}}, "unknown axis nope"),
        ({"settings": [{"net_turbo": True}]}, "does not name each axis that is tuned"),
        ({"settings": [{"net_turbo": True, "threads": 5}]}, "a setting has 5, which axis threads"),
        ({"settings": [BEST, BEST]}, "net_turbo=false, threads=3 appears twice"),
        ({"name": "tune-other"}, "tuning.json is of the search tune-other"),
    ],
)
def test_a_record_that_no_search_wrote_is_refused_by_its_file(
    searched: Bench, tmp_path: Path, change: dict[str, object], told: str
) -> None:
    [written] = (searched.results / TUNINGS).glob("*/tuning.json")
    path = tmp_path / TUNINGS / written.parent.name / written.name
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**json.loads(written.read_text()), **change}))

    with pytest.raises(HerdError, match=re.escape(told)) as raised:
        find_search(tmp_path, asked_for().key)

    assert str(path) in str(raised.value)


@dataclass(frozen=True)
class Cut:
    """A run that Ctrl-C ended, or one that waits for a node."""

    folder: Path
    counts: Mapping[str, int]
    interrupted: bool
    notes: tuple[str, ...] = ()


@pytest.mark.parametrize(("is_cut", "code"), [(True, 130), (False, 1)])
def test_a_rung_that_is_not_whole_ends_the_search_by_name(
    tmp_path: Path, *, is_cut: bool, code: int
) -> None:
    bench = Bench(tmp_path)

    def run(_matrix: Matrix) -> Cut:
        return Cut(tmp_path / "tune-1", {"pending": 3}, is_cut, ("pi2 is away.",))

    with pytest.raises(UnfinishedError, match="Rung 1 has 3 trials left") as raised:
        bench.search(asked_for(), run)

    assert raised.value.exit_code == code
    assert "pi2 is away." in str(raised.value)


def test_a_pilot_that_is_not_whole_ends_the_search_by_name(tmp_path: Path) -> None:
    bench, asked = Bench(tmp_path), asked_for(budget="30min")

    def run(_matrix: Matrix) -> Cut:
        return Cut(tmp_path / "tune-1", {"pending": 2}, interrupted=True)

    with pytest.raises(UnfinishedError, match="The pilot has 2 trials left"):
        begin(asked, bench.results, bench.look, run, bench.lines.append)


def test_no_search_begins_while_another_process_measures(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    other = Owner("eve", "desk", 1, "2026-01-01T00:00:00")

    with own_results(bench.results, other), pytest.raises(HerdError, match="eve@desk"):
        bench.search(asked_for())

    assert not (bench.results / TUNINGS).exists()


def test_a_program_that_is_replaced_between_rungs_ends_the_search(tmp_path: Path) -> None:
    bench, asked = Bench(tmp_path), asked_for(matrix(threads=(2, 3), net_turbo=(False,)))
    stamp = bench.machine / "engines" / "distributed-llama" / "install.json"

    def run(one: Matrix) -> RunResult:
        if one.title.endswith("rung 2"):
            told = json.loads(stamp.read_text())
            stamp.write_text(json.dumps({**told, "binary_sha256": {"dllama": "0" * 64}}))
        return bench.run(one)

    with pytest.raises(HerdError, match="programs or models were replaced between its rungs"):
        bench.search(asked, run)


def test_where_only_the_default_can_run_nothing_is_searched(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    asked = asked_for(matrix(context=(0, 9999), net_turbo=(True,), threads=(0,)))

    with pytest.raises(HerdError, match=r"no other setting than the default can run here\.\nCells"):
        bench.search(asked)


def test_a_setting_that_cannot_run_is_listed_with_its_reason(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    asked = asked_for(matrix(context=(0, 9999), net_turbo=(True, False), threads=(0,)))

    found = bench.search(asked)

    refused = [one for one in found.tried if one.fate == "impossible"]
    assert [one.setting["context"] for one in refused] == [9999, 9999]
    assert all("has a context of 256 tokens" in str(one.cause) for one in refused)
    assert found.combinations == 2


def test_a_search_of_other_values_is_another_search(searched: Bench) -> None:
    assert asked_for(matrix(threads=(2, 3))).key != asked_for().key
    assert asked_for(budget="30min").key != asked_for().key
    assert asked_for().key == asked_for().key


@pytest.mark.parametrize("seconds", [0.8, 3.0, 6.0])
def test_a_killed_search_goes_on_with_the_same_command(tmp_path: Path, seconds: float) -> None:
    words = [sys.executable, "-m", "tests.doubles.tuned_machine", str(tmp_path)]
    killed = subprocess.Popen(words, cwd=PROJECT_FOLDER, stdout=subprocess.DEVNULL)
    _wait_for(tmp_path / "results" / TUNINGS, 30)
    time.sleep(seconds)
    killed.send_signal(signal.SIGKILL)
    killed.wait()

    again = subprocess.run(words, cwd=PROJECT_FOLDER, capture_output=True, text=True, check=True)

    assert again.stdout == "{'net_turbo': False}\n"
    [record] = (tmp_path / "results" / TUNINGS).glob("*/tuning.json")
    assert len(json.loads(record.read_text())["settings"]) == 2
    runs = [path for path in (tmp_path / "results").glob("tune-*") if path.is_dir()]
    assert len(runs) == 2
    counts = [Account.read(path).counts() for path in runs]
    assert sorted(one["done"] for one in counts) == [4, 20]
    assert not any(one["pending"] or one["failed"] for one in counts)


def _wait_for(path: Path, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
