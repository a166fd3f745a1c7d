"""Two runs compared: pairs, changes, verdicts, limits, pages; foreign folders are only read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import pytest
from invoke import Context
from invoke.exceptions import Exit

import fabfile
import verbs.two_runs
from analysis.cells.family import Claim
from analysis.two_runs.chart import speed_chart
from analysis.two_runs.comparison import Asking, TwoRuns, compared_runs, compared_studies
from analysis.two_runs.limit import bound_of, limit_of
from analysis.two_runs.page import comparison_sections, folder_name
from analysis.two_runs.quality import system_of
from analysis.two_runs.sentences import caveats, details, headline
from collect.run import RUN_FILE
from collect.workloads import Benchmark, Perplexity
from core.errors import HerdError
from tests.doubles.asked_run import make_asked_run
from tests.doubles.parts_run import make_parts_run
from tests.doubles.run_attempts import Figures
from tests.doubles.run_folder import make_run
from tests.doubles.shared_kinds import ALL_KINDS, study_of_kind
from tests.unit.test_history import everything
from tests.unit.test_json_answers import validator

DLLAMA, LLAMA = "distributed-llama", "llama.cpp"
SLOW = {LLAMA: Figures(compute_ms=40.0, sync_ms=3.0)}


def edit(run: Path, change: Callable[[Any], None]) -> Path:
    told = json.loads((run / RUN_FILE).read_text())
    change(told)
    (run / RUN_FILE).write_text(json.dumps(told))
    return run


def upgraded(plan: Any) -> None:  # noqa: ANN401 - JSON
    """Another version of llama.cpp: other programs, other cells; the trials go along."""
    plan["engines"][LLAMA]["version"] = "0.8.0"
    for cell in plan["cells"]:
        if cell["params"]["engine"] == LLAMA:
            cell["identity"]["programs"] = "cc" * 32


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def pair(results: Path, **options: Any) -> tuple[Path, Path]:  # noqa: ANN401 - of make_run
    usual: dict[str, Any] = {"nodes": (1, 2), "repeats": 8, "failed": (), "unavailable": {}}
    old = make_run(results, name="old", **usual)
    return old, make_run(results, name="new", **{**usual, "seed": 9, **options})


def found(old: Path, new: Path, **asked: Any) -> TwoRuns:  # noqa: ANN401 - of Asking
    return compared_runs(old, new, (), Asking(**asked))


def text_of(one: TwoRuns) -> str:
    return " ".join((headline(one), *details(one), *caveats(one)))


def test_a_slower_engine_is_found_and_what_changed_is_named(results: Path) -> None:
    old, new = pair(results, figures=SLOW)
    edit(new, upgraded)
    one = found(old, new, limit=0.05)
    slower = one.found(Claim.SLOWER)
    assert {change.asked.name for change in slower} == {
        f"llama.cpp on {nodes}" for nodes in ("one node", "two nodes")
    }
    assert not one.found(Claim.FASTER)
    assert one.is_regression
    assert {change.asked.key for change in one.beyond} <= {change.asked.key for change in slower}
    assert [(change.kind, change.where, change.what) for change in one.changes] == [
        ("engine", "llama.cpp", "version")
    ]
    kinds = {cell.name.split(" on ")[0]: cell.changed for cell in one.pairs}
    assert kinds == {DLLAMA: (), LLAMA: ("program",)}
    told = text_of(one)
    assert told.startswith("Slower in 4 of 8 speeds: tokens/s of llama.cpp")
    assert "Beyond the limit of 5 %" in told
    assert "2 cells were not changed" in told
    assert "It is assumed that two runs of the same differ by at most 3.0 %" in told


def test_no_difference_is_spoken_of_where_there_is_none(results: Path) -> None:
    one = found(*pair(results), limit=0.0)
    assert not one.found(Claim.SLOWER) + one.found(Claim.FASTER)
    assert not one.is_regression
    assert "No difference between the runs is shown" in headline(one)
    assert "Nothing that is recorded of the compared cells was changed" in text_of(one)
    assert "No speed is shown to be slower by more than 0 %" in text_of(one)


def test_unchanged_cells_that_differ_as_much_take_a_verdict_away(results: Path) -> None:
    """All cells are slower alike: that is the day, and not the version."""
    both = {DLLAMA: Figures(compute_ms=48.0), LLAMA: Figures(compute_ms=34.0, sync_ms=3.0)}
    old, new = pair(results, figures=both)
    edit(new, upgraded)
    one = found(old, new, limit=0.01)
    changed = [change for change in one.speeds if change.asked.is_changed]
    assert {change.compared.finding for change in changed} == {Claim.UNKNOWN}
    assert any("unchanged cells differ about as much" in change.compared.why for change in changed)
    assert all(not change.is_beyond for change in changed)
    assert one.found(Claim.SLOWER), "the unchanged cells themselves are slower"


def test_few_trials_give_no_verdict_and_no_limit_can_be_judged(results: Path) -> None:
    old, new = pair(results, repeats=3, figures=SLOW)
    one = found(old, new, limit=0.05)
    assert "Too few trials" in headline(one)
    assert all(change.means.ratio.low is None for change in one.speeds)


def test_cells_that_only_one_has_and_failed_ones_are_named(results: Path) -> None:
    old = make_run(results, name="old", nodes=(1, 2), repeats=6, failed=(), unavailable={})
    lost = [(LLAMA, 2, repeat) for repeat in range(1, 7)]
    new = make_run(
        results, name="new", nodes=(1, 2, 4), repeats=6, failed=lost, unavailable={}, seed=3
    )
    one = found(old, new, limit=0.1)
    assert [cell.name for cell in one.lost] == ["llama.cpp on two nodes"]
    assert one.is_regression, "a cell that does not work any more breaks every limit"
    assert "Every trial failed in the contender" in text_of(one)
    left = {(cell.side, cell.name): cell.why for cell in one.left}
    assert left["contender", f"{DLLAMA} on four nodes"] == "the other run has no such cell"
    assert left["baseline", f"{LLAMA} on two nodes"].startswith("not measured in the contender")
    assert "Only the contender measured 2 cells (table Not compared)" in text_of(one)
    assert "Only the baseline" not in text_of(one), "the lost cell is named once"


def test_what_a_limit_does_not_cover_is_named(results: Path) -> None:
    """A run that was killed, or whose trials mostly failed, must not pass in silence."""
    old, killed = pair(
        results, failed=[(LLAMA, 2, 1)], pending=[(LLAMA, 2, repeat) for repeat in range(2, 9)]
    )
    one = found(old, killed, limit=0.05)
    assert not one.lost, "seven trials are left, so not every trial failed"
    assert not one.is_regression
    assert [pair.name for pair in one.unfinished] == ["llama.cpp on two nodes"]
    assert "Only the baseline measured 1 cell" in text_of(one)
    assert (
        "because the contender has trials left, or too few: llama.cpp on two nodes."
    ) in text_of(one)
    shaky = [(LLAMA, 2, repeat) for repeat in range(1, 5)]
    usual: dict[str, Any] = {"nodes": (1, 2), "repeats": 8, "unavailable": {}}
    one = found(old, make_run(results, name="shaky", failed=shaky, **usual), limit=0.05)
    assert (
        "Not judged, because there are too few trials of it: llama.cpp on two nodes (tokens/s) "
        "and llama.cpp on two nodes (tokens/s of the prompt)."
    ) in text_of(one)
    assert [pair.name for pair in one.unfinished] == ["llama.cpp on two nodes"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"pending": [(LLAMA, 2, 8)]}, 4),
        ({"pending": [(LLAMA, 2, repeat) for repeat in range(1, 9)]}, 4),
        ({"failed": [(LLAMA, 2, repeat) for repeat in range(1, 5)]}, 4),
        ({"unavailable": {(LLAMA, 2): "a node was away"}}, 4),
        ({"failed": [(LLAMA, 2, 1)]}, 0),
        ({"failed": [(LLAMA, 2, repeat) for repeat in range(1, 9)]}, 3),
        ({"pending": [(LLAMA, 2, 8)], "figures": SLOW}, 3),
        ({"nodes": (1,)}, 0),
    ],
)
def test_a_contender_that_is_not_finished_does_not_pass(
    options: dict[str, Any], code: int, results: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    old, new = pair(results, **options)
    monkeypatch.setattr(verbs.two_runs, "PROJECT", tmp_path)
    fabfile.compare_runs(Context(), "old", "new", json=True)  # without a limit nothing is judged
    assert ("llama.cpp on two nodes" in json.loads(capsys.readouterr().out)["unfinished"]) == (
        code == 4 or "pending" in options
    )
    if code == 0:
        fabfile.compare_runs(Context(), "old", "new", fail_below="5%")
        return
    with pytest.raises(Exit) as ended:
        fabfile.compare_runs(Context(), "old", "new", fail_below="5%")
    assert ended.value.code == code
    one = found(new, old, limit=0.05)
    assert not one.unfinished, "what the baseline lacks is not the contender's fault"


def test_other_work_is_not_compared(results: Path) -> None:
    old, new = pair(results, workload=Benchmark(prompt_tokens=64, generate_tokens=16))
    with pytest.raises(HerdError, match="the other run does other work with it"):
        found(old, new)


def test_a_setting_with_one_value_in_each_run_is_what_was_changed(results: Path) -> None:
    def threads(plan: Any) -> None:  # noqa: ANN401 - JSON
        for cell in plan["cells"]:
            cell["params"]["threads"] = 2
            cell["identity"]["programs"] = "ee" * 32

    old, new = pair(results)
    edit(new, threads)
    one = found(old, new)
    assert [(c.kind, c.what, c.baseline, c.contender) for c in one.changes] == [
        ("setting", "threads", "0", "2")
    ]
    assert {cell.by for cell in one.pairs} <= {"axes", "identity"}
    assert all("setting" in cell.changed for cell in one.pairs)


def test_a_cell_that_is_another_one_in_the_contender_has_both_names(results: Path) -> None:
    usual: dict[str, Any] = {"nodes": (1,), "repeats": 6, "failed": (), "unavailable": {}}
    old = make_run(results, name="old", engines=(LLAMA,), **usual)
    new = make_run(results, name="new", engines=(DLLAMA,), seed=9, **usual)
    one = found(old, new)
    [cell] = one.pairs
    assert cell.name == f"{DLLAMA} on one node (baseline: {LLAMA} on one node)"
    assert f"tokens/s of {cell.name} is" in headline(one), "it is not llama.cpp that is slower"
    axes = {change.what for change in one.changes if change.kind == "setting"}
    assert axes == {"engine", "net turbo", "split mode"}
    chart = speed_chart("tokens/s", one.speeds[:1], one.margin)
    assert chart is not None
    [label] = chart.figure.axes[0].get_yticklabels()
    assert " ".join(label.get_text().split("\n")) == cell.name
    assert max(map(len, label.get_text().split("\n"))) <= 36, "or there is no room for the chart"


def test_an_axis_of_cells_that_are_not_compared_is_no_change(results: Path) -> None:
    """Only distributed-llama has `net_turbo`, and it is not in the contender."""
    usual: dict[str, Any] = {"nodes": (1,), "repeats": 6, "failed": (), "unavailable": {}}
    old = make_run(results, name="old", **usual)
    one = found(old, make_run(results, name="new", engines=(LLAMA,), seed=9, **usual))
    assert not one.changes
    assert "Nothing that is recorded of the compared cells was changed" in text_of(one)


@pytest.mark.parametrize("more", [(1,), (1, 2)])
def test_a_machine_without_compared_cells_is_no_cause(results: Path, more: tuple[int, ...]) -> None:
    """Both runs have pi1 alone; the baseline also has pi2, which the contender lacks or changed."""
    usual: dict[str, Any] = {"repeats": 6, "failed": (), "retried": (), "unavailable": {}}
    old = make_run(results, name="old", nodes=(1, 2), **usual)
    lost = [(engine, 2, repeat) for engine in (DLLAMA, LLAMA) for repeat in range(1, 7)]
    new = make_run(results, name="new", nodes=more, seed=9, **{**usual, "failed": lost})
    if more == (1, 2):
        edit(new, lambda plan: plan["nodes"]["pi2"].update(kernel="6.12", cpu_model="other"))
    one = found(old, new)
    assert one.changes, "the table has it"
    assert "Nothing that is recorded of the compared cells was changed" in text_of(one)
    if more == (1, 2):
        edit(new, lambda plan: plan["nodes"]["pi1"].update(kernel="6.12"))
        assert "changed together (system)" in text_of(found(old, new))


def test_cells_on_other_nodes_of_the_same_machines_are_a_change(results: Path) -> None:
    def turned(plan: Any) -> None:  # noqa: ANN401 - JSON
        for cell in plan["cells"]:
            cell["nodes"] = ["pi2", "pi1"][: len(cell["nodes"])]

    old, new = pair(results)
    one = found(old, edit(new, turned))
    assert [(c.kind, c.what, c.baseline, c.contender) for c in one.changes] == [
        ("machine", "nodes of a cell", "pi1", "pi2"),
        ("machine", "nodes of a cell", "pi1, pi2", "pi2, pi1"),
    ]
    assert all("machine" in cell.changed for cell in one.pairs)


def test_machines_of_other_names_are_compared_by_their_place(results: Path, tmp_path: Path) -> None:
    old, new = pair(results)
    text = (new / RUN_FILE).read_text()
    plan = json.loads(text)
    names = {name: f"box{place}" for place, name in enumerate(plan["nodes"])}
    plan["nodes"] = {names[name]: {**facts, "cpu_model": "N100"}
                     for name, facts in plan["nodes"].items()}  # fmt: skip
    for cell in plan["cells"]:
        cell["nodes"] = [names[name] for name in cell["nodes"]]
    (new / RUN_FILE).write_text(json.dumps(plan))
    one = found(old, new)
    [cpu] = [change for change in one.changes if change.what == "cpu model"]
    assert (cpu.kind, cpu.baseline, cpu.contender) == ("machine", "Cortex-A76", "N100")
    assert all("machine" in cell.changed for cell in one.pairs)


def test_repeated_runs_say_how_far_runs_differ(results: Path) -> None:
    old, new = pair(results)
    usual: dict[str, Any] = {"nodes": (1, 2), "repeats": 8, "failed": (), "unavailable": {}}
    others = [make_run(results, name=f"again{n}", seed=20 + n, **usual) for n in range(4)]
    damaged = make_run(results, name="damaged", seed=30, **usual)
    (damaged / RUN_FILE).write_text("{")
    changed = make_run(results, name="changed", seed=31, **usual)
    edit(changed, lambda plan: [node.update(kernel="7") for node in plan["nodes"].values()])
    one = compared_runs(old, new, [*others, damaged, changed, old, new])
    between = one.between["tokens/s"]
    assert (between.runs, between.is_assumed) == (5, False)
    assert one.repeats[0].names == ("again0", "again1", "again2", "again3")
    assert "measured on 5 runs of the same cells" in text_of(one)
    few = compared_runs(old, new, others[:1])
    assert few.between["tokens/s"].is_assumed
    assert "2 runs of the same cells are there" in text_of(few)


def test_answers_are_compared_by_question(results: Path) -> None:
    asked = {"q1": "2+2?", "q2": "Capital?"}
    old = make_asked_run(results / "a", asked, {1: [{"q1": "4", "q2": "Seoul"}]})
    new = make_asked_run(results / "b", asked, {1: [{"q1": "4", "q2": "Busan"}]})
    edit(new, lambda plan: plan.update(created_at=plan["created_at"] + 1))
    one = found(old, new)
    [same] = [change for change in one.quality if change.what == "the same first answer"]
    assert (same.contender, same.n) == (0.5, 2)
    whats = {change.asked.what for change in one.speeds}
    assert {"first token", "whole answer"} <= whats <= {"first token", "whole answer", "tokens/s"}
    assert all(not change.means.is_tried for change in one.speeds), "two questions are too few"
    [first] = [change for change in one.speeds if change.asked.what == "first token"]
    system = system_of(one.baseline, first.asked.key)
    assert system is not None
    times_ms = system.by_question("ttft_ms")
    assert first.asked.per_s[0] == pytest.approx(1000 / geometric_mean(times_ms.values()))


def test_perplexity_has_no_noise(results: Path) -> None:
    work = Perplexity(text="experiments/texts/alice.txt")
    usual: dict[str, Any] = {"nodes": (1, 2), "repeats": 2, "failed": (), "unavailable": {}}
    old = make_run(results, name="old", workload=work, **usual)
    new = make_run(results, name="new", workload=work, **usual)
    one = found(old, new)
    assert {change.verdict for change in one.quality} == {"the same"}
    assert headline(one) == "No speed of these runs can be compared."
    with pytest.raises(HerdError, match="itself"):
        found(old, old)


@pytest.mark.parametrize(
    "text", ["", "5", "-5%", "100%", "95%", "nan%", "five%", "5%%", "0.05", "1e1%", "%"]
)
def test_a_limit_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(HerdError, match="such as --fail-below 5%"):
        limit_of(text)


def test_limits_and_assumptions_are_shares() -> None:
    assert limit_of(None) is None
    assert limit_of(" 5% ") == pytest.approx(0.05)
    assert limit_of("0%") == 0.0
    assert bound_of(None, 0.03) == 0.03
    assert bound_of("10 %", 0.03) == pytest.approx(0.1)
    for wrong in ("0%", "60%", "3"):
        with pytest.raises(HerdError, match="such as --assume 3%"):
            bound_of(wrong, 0.03)


def test_the_verb_writes_a_page_and_ends_with_3_on_a_regression(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    old, new = pair(results, figures=SLOW)
    edit(new, upgraded)
    away = tmp_path / "elsewhere"
    away.mkdir()
    old = Path(shutil.move(old, away / "old"))
    before = everything(away), everything(new)
    monkeypatch.setattr(verbs.two_runs, "PROJECT", tmp_path)

    fabfile.compare_runs(Context(), str(old), "new", json=True)
    told = json.loads(capsys.readouterr().out)
    validator("compare-runs").validate(told)
    page = Path(told["page"])
    assert page == results / "comparisons" / "new-against-old" / "index.html"
    assert {path.name for path in page.parent.iterdir()} > {
        "report.md",
        "speeds.csv",
        "changes.csv",
    }
    assert f"fab compare-runs {old} new" in page.read_text()
    assert not told["is_regression"], "no limit was given"

    with pytest.raises(Exit) as ended:
        fabfile.compare_runs(Context(), str(old), "new", fail_below="5%")
    assert ended.value.code == 3
    printed = capsys.readouterr().out
    assert printed.startswith(f"Comparison: {page}\nSlower in 4 of 8 speeds")
    fabfile.compare_runs(Context(), "new", str(old), fail_below="5%")  # the other way it is faster
    assert "Faster in 4 of 8 speeds" in capsys.readouterr().out
    assert (everything(away), everything(new)) == before, "runs are only read"


def test_what_cannot_be_compared_is_refused_by_name(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs.two_runs, "PROJECT", tmp_path)
    pair(results, repeats=3)
    (results / "torn").mkdir()
    (results / "torn" / RUN_FILE).write_text("{")
    for names, right in (
        (("old", "gone"), "There is no run `gone` in .* no folder of that path"),
        (("old", "../../etc"), "There is no run|run.json"),
        (("old", "old"), "compared with itself"),
        (("old", "torn"), "torn"),
        (("torn", "new"), "torn"),
    ):
        with pytest.raises(Exit, match=right) as refused:
            fabfile.compare_runs(Context(), *names)
        assert refused.value.code == 1
    with pytest.raises(Exit, match="six trials of a cell in both"):
        fabfile.compare_runs(Context(), "old", "new", fail_below="5%")
    assert not (results / "comparisons").exists()


def test_names_of_folders_stay_names() -> None:
    assert folder_name("a", "b") == "b-against-a"
    long = folder_name("a" * 255, "b" * 255)
    assert len(long) < 100
    assert folder_name("a" * 254, "b" * 255) != long


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_kind_of_run_is_compared_with_its_twin(kind: str) -> None:
    study = study_of_kind(kind)
    one = compared_studies(study, study, (), Asking(limit=0.05))
    sections = list(comparison_sections(one))
    assert sections[0].title == headline(one)
    assert not one.found(Claim.FASTER) + one.found(Claim.SLOWER)
    assert not one.is_regression
    assert not one.changes
    shown = {"no difference shown", "too few", "the same", ""}
    assert {change.verdict for change in one.quality} <= shown
    assert all(change.means.log == 0 for change in one.speeds)
    names = [f"{change.asked.what} {change.asked.name}" for change in one.speeds]
    assert len(names) == len(set(names)), "readers can tell cells from each other"


def test_parts_are_compared_part_by_part(results: Path, tmp_path: Path) -> None:
    usual: dict[str, Any] = {"nodes": (1, 2), "repeats": 6, "failed": (), "unavailable": {}}
    text = Perplexity(text="experiments/texts/alice.txt")
    both = []
    for side in ("a", "b"):
        parts = {
            "speed": make_run(tmp_path / side, name="speed", seed=ord(side), **usual),
            "text": make_run(
                tmp_path / side, name="text", workload=text, weights=("f32",), **usual
            ),
        }
        both.append(make_parts_run(tmp_path / f"results-{side}", parts))
    edit(both[1], lambda plan: plan.update(created_at=plan["created_at"] + 9.0))
    one = found(*both)
    assert {cell.part for cell in one.pairs} == {"speed", "text"}
    assert len(one.pairs) == 8
    assert {change.what for change in one.quality} == {"perplexity"}
    assert all(change.asked.name.startswith("speed: ") for change in one.speeds)


def test_a_copy_of_a_run_is_no_other_run(results: Path, tmp_path: Path) -> None:
    old, new = pair(results)
    again = make_run(results, name="again", nodes=(1, 2), repeats=8, failed=(), unavailable={})
    copies = [Path(shutil.copytree(one, tmp_path / "kim" / one.name)) for one in (old, again)]
    one = compared_runs(old, new, [again, *copies], Asking())
    assert one.repeats[0].names == ("again",)
    edit(copies[0], lambda plan: plan.update(plan_id="shared-" + "a" * 64))
    with pytest.raises(HerdError, match="itself"):
        found(old, copies[0])


@pytest.mark.parametrize(
    ("later_s", "said"), [(60, "less than a day"), (90_000, "1 day"), (260_000, "3 days")]
)
def test_it_is_said_how_far_apart_the_runs_began(results: Path, later_s: int, said: str) -> None:
    old, new = pair(results)
    edit(new, lambda plan: plan.update(created_at=plan["created_at"] + later_s))
    assert f"they began {said} apart" in text_of(found(old, new))
