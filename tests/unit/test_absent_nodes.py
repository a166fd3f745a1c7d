"""A node that is not there does not stop the rest: at the beginning, in between, and when back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.report import write_report
from collect.account import Account
from collect.later import LATER_FOLDER
from collect.load import load_run
from collect.run import RUN_FILE
from core.errors import HerdError
from experiments.disk.ledger import reasons_of, runs
from experiments.fleet.cluster import Node
from experiments.nodes.facts import HELPER_VERSION
from experiments.nodes.launcher import Reply, Request
from experiments.nodes.ssh.wire import reply_of
from experiments.planning.plan import leave_out
from experiments.sessions import session
from tests.doubles.absent_run import AXES, counted, done, measure, study
from tests.doubles.api_server import saying, serving
from tests.doubles.asking_run import matrix as asking
from tests.doubles.asking_run import systems_file
from tests.doubles.lab_run import CHAT_MODEL
from tests.doubles.scripted import ScriptedConversation, ScriptedLauncher, World, cluster
from tests.doubles.scripted_run import world
from verbs import matrices


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LOOK_AGAIN_S", 0.0)


# -- away at the beginning


def test_what_can_run_runs_and_the_rest_waits_and_says_so_once(tmp_path: Path) -> None:
    result, said = measure(tmp_path, world(tmp_path, silent={"pi3"}))

    assert counted(result) == (4, 0, 0, 2)
    assert done(tmp_path) == {1: 2, 2: 2}
    assert result.exit_code == 1
    assert said.count("it does not answer") == 1
    assert said.partition("Nodes that are away:")[2].splitlines()[1].startswith("  pi3: ")
    assert "4 nodes" in said.partition("Cells waiting for them:")[2].splitlines()[1]
    (note,) = result.notes
    assert "Trials that need pi3 wait" in note


def test_why_trials_wait_is_told_by_the_account(tmp_path: Path) -> None:
    result, _ = measure(tmp_path, world(tmp_path, silent={"pi3", "pi4"}))

    reasons = {t.reason for t in Account.read(result.folder).trials if t.state == "pending"}
    assert reasons == {"it waits for pi3, pi4, which have not been there since the run began"}


def test_status_and_report_say_which_trials_wait_and_why(tmp_path: Path) -> None:
    result, _ = measure(tmp_path, world(tmp_path, silent={"pi3"}))

    (line,) = reasons_of(Account.read(result.folder))
    assert line.startswith("  2 pending: distributed-llama")
    assert line.endswith("it waits for pi3, which has not been there since the run began")
    page = write_report(result.folder, tmp_path / "reports", lambda _: None).index
    failures = page.with_name("report.md").read_text().partition("What did not work")[2]
    assert "all 2 trials | pending | it waits for pi3" in failures


def test_a_node_that_was_away_at_the_beginning_is_taken_up_within_the_run(tmp_path: Path) -> None:
    the_world = world(tmp_path, silent={"pi3"})
    the_world.on_root = lambda unit: the_world.silent.discard("pi3") if "-r1-" in unit else None

    result, said = measure(tmp_path, the_world)

    assert counted(result) == (6, 0, 0, 0)
    assert result.exit_code == 0
    assert said.count("pi3 is back and takes part.") == 1


def test_a_node_that_was_away_is_taken_up_when_the_run_goes_on(tmp_path: Path) -> None:
    first, _ = measure(tmp_path, world(tmp_path, silent={"pi3"}))

    second, _ = measure(tmp_path, world(tmp_path))

    assert second.folder == first.folder
    assert counted(second) == (6, 0, 0, 0)
    assert done(tmp_path) == {1: 2, 2: 2, 4: 2}


def test_what_it_says_then_is_added_and_run_json_stays(tmp_path: Path) -> None:
    first, _ = measure(tmp_path, world(tmp_path, silent={"pi3"}))
    before = (first.folder / RUN_FILE).read_bytes()
    assert json.loads(before)["nodes"]["pi3"] == {}

    measure(tmp_path, world(tmp_path))

    assert (first.folder / RUN_FILE).read_bytes() == before
    assert load_run(first.folder).nodes["pi3"]["machine_id"] == "machine-of-pi3"
    assert [path.name for path in (first.folder / LATER_FOLDER).iterdir()] == ["0001.json"]


def test_its_cells_are_those_of_a_run_that_nobody_disturbed(tmp_path: Path) -> None:
    measure(tmp_path / "a", world(tmp_path / "a", silent={"pi2"}))
    measure(tmp_path / "a", world(tmp_path / "a"))
    measure(tmp_path / "b", world(tmp_path / "b"))

    plans = [load_run(runs(tmp_path / name / "results")[0]) for name in "ab"]
    assert plans[0].cells == plans[1].cells
    assert plans[0].trials == plans[1].trials


def test_it_is_held_against_the_run_from_then_on(tmp_path: Path) -> None:
    def interrupt(unit: str) -> None:
        raise KeyboardInterrupt

    measure(tmp_path, world(tmp_path, silent={"pi4"}))
    measure(tmp_path, world(tmp_path, on_root=interrupt))
    other = world(tmp_path)
    other.machine_id = lambda node: "new" if node == "pi4" else f"machine-of-{node}"

    with pytest.raises(HerdError, match="pi4 is another machine"):
        measure(tmp_path, other)


def test_where_nothing_can_run_nothing_begins(tmp_path: Path) -> None:
    with pytest.raises(
        HerdError,
        match=r"(?s)none of the remaining trials can run now.*pi1.*not answer",
    ):
        measure(tmp_path, world(tmp_path, silent={"pi1"}))

    assert runs(tmp_path / "results") == []


def test_where_all_that_is_left_waits_the_run_says_so_and_ends(tmp_path: Path) -> None:
    measure(tmp_path, world(tmp_path, silent={"pi3"}))

    with pytest.raises(HerdError, match=r"(?s)Continuing the run .*pi3.*not answer"):
        measure(tmp_path, world(tmp_path, silent={"pi3"}))

    assert done(tmp_path) == {1: 2, 2: 2}


# -- what keeps a node away


class Odd(ScriptedLauncher):
    """One node answers a verb in a way of its own."""

    def __init__(self, the_world: World, node: str, verb: str, reply: Reply) -> None:
        super().__init__(the_world)
        self._odd = (node, verb, reply)

    def open(self, node: Node) -> ScriptedConversation:
        link = super().open(node)
        name, verb, reply = self._odd
        if node.name == name:
            setattr(link, f"_{verb}", lambda *_: reply)
        return link


@pytest.mark.parametrize(
    ("verb", "reply", "told"),
    [
        (
            "facts",
            reply_of("facts", ok=True, parts={"helper": b"3"}),
            "its helper has protocol version 3",
        ),
        ("facts", reply_of("facts", ok=False, parts={"error": b"no room"}), "no room"),
        (
            "facts",
            reply_of("facts", ok=True, parts={"helper": HELPER_VERSION.encode(), "facts": b"{"}),
            "on pi2: it is damaged",
        ),
        (
            "own",
            reply_of("own", ok=False, parts={"owner": b"user=ada host=attic pid=4711 since=now"}),
            "is in use by the runner of ada@attic",
        ),
    ],
)
def test_whatever_keeps_a_node_from_taking_part_is_said_and_the_rest_goes_on(
    tmp_path: Path, verb: str, reply: Reply, told: str
) -> None:
    the_world = world(tmp_path)

    result, said = measure(tmp_path, the_world, launcher=Odd(the_world, "pi2", verb, reply))

    assert counted(result) == (2, 0, 0, 4)
    assert done(tmp_path) == {1: 2}
    assert told in said.partition("Nodes that are away:")[2].splitlines()[1]
    assert told in result.notes[0]
    assert the_world.units() == []


class GoingDown(ScriptedLauncher):
    """A node that begins to shut down, once."""

    gone = False

    def open(self, node: Node) -> ScriptedConversation:
        link = super().open(node)
        start = link._start

        def refuse_once(fields: dict[str, str], request: Request) -> Reply:
            if node.name == "pi2" and not self.gone:
                self.gone = True
                why = b"Transaction for a.service/start is destructive (halt.target ...)."
                return reply_of("start", ok=False, parts={"error": why})
            return start(fields, request)

        link._start = refuse_once  # type: ignore[method-assign]
        return link


def test_a_node_that_shuts_down_is_lost_and_looked_for_again(tmp_path: Path) -> None:
    the_world = world(tmp_path)

    result, said = measure(tmp_path, the_world, study(warmup=0), launcher=GoingDown(the_world))

    assert counted(result) == (6, 0, 0, 0)
    assert said.count("pi2 is shutting down") == 1
    assert said.count("pi2 is back and takes part.") == 1


class ComingAndGoing(GoingDown):
    """A node that answers whenever it is looked for and never starts anything."""

    @property
    def gone(self) -> bool:
        return False

    @gone.setter
    def gone(self, value: bool) -> None:
        """It stays as it is."""


def test_a_node_that_comes_and_goes_keeps_nobody_for_ever(tmp_path: Path) -> None:
    the_world = world(tmp_path)

    result, _ = measure(tmp_path, the_world, launcher=ComingAndGoing(the_world))

    assert counted(result) == (2, 0, 0, 4)
    assert "pi2" in result.notes[0]


def test_an_api_is_asked_while_nodes_are_away(tmp_path: Path) -> None:
    """And the nodes' answers are pending, not failed."""
    with serving(saying("Paris.")) as (url, _):
        file = systems_file(tmp_path, url.removesuffix("/chat/completions"))
        nodes = f"engine: llama.cpp, model: {CHAT_MODEL}, weights: q4_0, nodes: 2"
        file.write_text(f"{file.read_text()}  herd: {{{nodes}}}\n")
        asked = asking(file, "Capital?", axes={"system": ("api", "herd")})
        the_world = world(tmp_path, silent={"pi1", "pi2"})

        result, said = measure(tmp_path, the_world, asked)

    assert counted(result) == (1, 0, 0, 1)
    assert "Cells waiting for them:" in said
    assert [note.split()[3] for note in result.notes] == ["pi1", "pi2"]


def test_a_machine_that_became_another_one_keeps_only_its_own_cells(tmp_path: Path) -> None:
    def interrupt(unit: str) -> None:
        if "-r2-a1" in unit:
            raise KeyboardInterrupt

    measure(tmp_path, world(tmp_path, on_root=interrupt))
    other = world(tmp_path)
    other.machine_id = lambda node: "new" if node == "pi4" else f"machine-of-{node}"

    result, said = measure(tmp_path, other)

    assert "Since the run" in said
    assert "pi4 is another machine (its machine-id changed)" in said
    assert counted(result) == (5, 0, 0, 1)
    assert "--new" in result.notes[0]


def test_a_lost_node_that_comes_back_as_another_machine_takes_no_part(tmp_path: Path) -> None:
    the_world = world(tmp_path)
    changed: list[str] = []
    the_world.machine_id = lambda node: f"{node} of {changed}" if node == "pi2" else node

    def swap(unit: str) -> None:
        if "-r1-a1" in unit and not changed:
            the_world.silent.add("pi2")
            changed.append("new")
        elif "-r2-a1" in unit:
            the_world.silent.discard("pi2")

    the_world.on_root = swap
    result, said = measure(tmp_path, the_world, study(repeats=4))

    assert said.count("pi2 is another machine") == 1
    assert done(tmp_path)[1] == 4
    assert counted(result)[3] > 0


# -- cells that could not run are looked at again


def test_a_model_that_is_there_by_now_is_measured(tmp_path: Path) -> None:
    without_model = world(tmp_path)
    without_model.files = ()
    first, _ = measure(tmp_path, without_model)
    assert counted(first) == (0, 0, 6, 0)

    second, _ = measure(tmp_path, world(tmp_path))

    assert second.folder == first.folder
    assert not second.already_complete
    assert counted(second) == (6, 0, 0, 0)
    assert len(load_run(second.folder).models) == 2


def test_an_engine_that_is_there_by_now_is_measured(tmp_path: Path) -> None:
    first, _ = measure(tmp_path, world(tmp_path, installed=lambda node: node != "pi4"))
    assert counted(first) == (4, 0, 2, 0)

    second, _ = measure(tmp_path, world(tmp_path))

    assert second.folder == first.folder
    assert counted(second) == (6, 0, 0, 0)


def test_what_can_still_not_run_is_said_and_nothing_is_measured(tmp_path: Path) -> None:
    measure(tmp_path, world(tmp_path, available_mib=1))

    result, said = measure(tmp_path, world(tmp_path, available_mib=2))

    assert result.already_complete
    assert counted(result) == (0, 0, 6, 0)
    assert "has 2 MiB of memory free" in said
    reasons = {trial.reason for trial in Account.read(result.folder).trials}
    assert all("has 2 MiB of memory free" in str(reason) for reason in reasons)


def test_what_became_impossible_is_said_and_what_was_measured_stays(tmp_path: Path) -> None:
    def interrupt(unit: str) -> None:
        if "-r2-a1" in unit:
            raise KeyboardInterrupt

    measure(tmp_path, world(tmp_path, on_root=interrupt))

    result, said = measure(tmp_path, world(tmp_path, installed=lambda node: node != "pi2"))

    assert counted(result) == (4, 0, 2, 0)
    assert "not installed on pi2" in said
    assert counted(measure(tmp_path, world(tmp_path))[0]) == (6, 0, 0, 0)


def test_cells_that_cannot_be_looked_at_stay_as_they_were(tmp_path: Path) -> None:
    measure(tmp_path, world(tmp_path, installed=lambda node: node != "pi4"))

    result, said = measure(tmp_path, world(tmp_path, silent={"pi4"}))

    assert result.already_complete
    assert counted(result) == (4, 0, 2, 0)
    assert "pi4 was not checked again for what it lacked" in said


def test_another_model_in_the_place_of_one_is_another_run(tmp_path: Path) -> None:
    measure(tmp_path, world(tmp_path, silent={"pi3"}))

    other = world(tmp_path, binary_sha256="beef" * 16)
    with pytest.raises(HerdError, match="dllama on pi1 was rebuilt or replaced"):
        measure(tmp_path, other)


# -- left out by wish


def test_without_a_node_a_new_run_is_planned_on_the_others(tmp_path: Path) -> None:
    asked = study(axes={**AXES, "nodes": (1, 2)})

    result, _ = measure(tmp_path, world(tmp_path), asked, without=("pi2",))

    assert counted(result) == (4, 0, 0, 0)
    assert {node for cell in load_run(result.folder).cells for node in cell.nodes} == {
        "pi1",
        "pi3",
    }


def test_cells_that_need_more_nodes_than_are_left_cannot_run(tmp_path: Path) -> None:
    result, said = measure(tmp_path, world(tmp_path), without=("pi2",))

    assert counted(result) == (4, 0, 2, 0)
    assert "it needs 4 nodes, but the cluster has 3" in said


def test_the_same_again_goes_on_with_the_run_without_the_node(tmp_path: Path) -> None:
    def interrupt(unit: str) -> None:
        if "-r2-a1" in unit:
            raise KeyboardInterrupt

    first, _ = measure(tmp_path, world(tmp_path, on_root=interrupt), without=("pi2",))
    second, _ = measure(tmp_path, world(tmp_path), without=("pi2",))

    assert second.folder == first.folder
    assert counted(second) == (4, 0, 2, 0)


def test_a_run_on_all_nodes_goes_on_without_one_and_its_cells_wait(tmp_path: Path) -> None:
    def interrupt(unit: str) -> None:
        if "-r1-a1" in unit:
            raise KeyboardInterrupt

    first, _ = measure(tmp_path, world(tmp_path, on_root=interrupt))
    second, said = measure(tmp_path, world(tmp_path), without=("pi3",))

    assert second.folder == first.folder
    assert counted(second) == (4, 0, 0, 2)
    assert "pi3: it is left out" in said
    assert "Repeat the command without that" in second.notes[0]


def test_a_complete_run_on_all_nodes_is_none_that_goes_on_without_one(tmp_path: Path) -> None:
    asked = study(axes={**AXES, "nodes": (1, 2)})
    first, _ = measure(tmp_path, world(tmp_path), asked)

    second, _ = measure(tmp_path, world(tmp_path), asked, without=("pi2",))

    assert second.folder != first.folder
    assert counted(second) == (4, 0, 0, 0)


def test_a_node_that_merely_does_not_answer_changes_no_cell(tmp_path: Path) -> None:
    result, _ = measure(tmp_path, world(tmp_path, silent={"pi2"}))

    nodes = {len(cell.nodes): cell.nodes for cell in load_run(result.folder).cells}
    assert nodes[2] == ("pi1", "pi2")


@pytest.mark.parametrize(
    ("without", "told"),
    [
        (("pi9",), "there is no node pi9 .* which has pi1, pi2"),
        (("pi1", "pi2"), "leaves no nodes"),
    ],
)
def test_names_to_leave_out_are_those_of_nodes(without: tuple[str, ...], told: str) -> None:
    with pytest.raises(HerdError, match=told):
        leave_out(cluster(2), without)


def test_names_to_leave_out_are_given_with_commas_or_several_times() -> None:
    assert matrices.names_of(["pi3, desk", "pi3"]) == ("pi3", "desk")
    assert matrices.names_of(None) == ()
    with pytest.raises(HerdError, match="name nodes from the inventory"):
        matrices.names_of(["pi3,"])
