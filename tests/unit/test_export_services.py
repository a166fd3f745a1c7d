"""What an export replaces beyond a run's own names: private services, machines of the inventory."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

import verbs.sharing
from analysis.report import write_report
from collect.account import Account
from collect.attempt import ATTEMPT_FILE
from collect.load import load_run
from collect.run import ATTEMPTS_FOLDER, RUN_FILE
from collect.sharing.exported import export_run, write_without_names
from collect.sharing.imported import OTHER_PLAN, import_run
from collect.sharing.pseudonyms import Pseudonyms
from collect.sharing.renamed import pseudonyms_of
from core.errors import HerdError
from experiments.fleet.inventory import listed_machines
from experiments.planning.plan import plan_id_of_run
from tests.doubles.run_folder import make_run
from tests.unit.test_export_kinds import changed

RUNS = Path(__file__).resolve().parents[1] / "data" / "runs"
PROJECT = Path(__file__).resolve().parents[2]
MEASURED = sorted(path.parent for path in RUNS.glob("*-20*/run.json"))
MADE_UP = "asked-20261124-120000"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://wiki.lan/kim/x?y=1", "https://service-1.example"),
        ("see HTTPS://WIKI.LAN. Then", "see HTTPS://service-1.example. Then"),
        ("https://wiki.lan./x, ws://wiki.lan", "https://service-1.example, ws://service-1.example"),
        ("https://kim:geheim@wiki.corp:8443/a", "https://service-1.example"),
        ("https://kim@db.home.arpa", "https://service-1.example"),
        ("<http://wiki/x> (http://gpuserver:8000)",
         "<http://service-1.example> (http://service-2.example)"),
        ("https://wiki%2elan/x", "https://service-1.example"),
        ("?next=https%3A%2F%2Fwiki.lan%2Fx", "?next=https%3A%2F%2Fservice-1.example"),
        (r'{"u": "https:\/\/wiki.lan\/geheim\/x", "v": 1}',
         r'{"u": "https:\/\/service-1.example", "v": 1}'),
        (r'"\nhttps://wiki\u002elan/x"', r'"\nhttps://service-1.example"'),
        ("https://위키.lan/x", "https://service-1.example"),
        (r'"https://\uc704\ud0a4.lan/x"', r'"https://service-1.example"'),
        ("https://xn--h49a.internal/", "https://service-1.example"),
        ("https://wiki。lan/x", "https://service-1.example"),
        ("http://10%2E0%2E0%2E7/x http://0x0a000007/",
         "http://service-1.example http://service-2.example"),
        ("http://167772167/ http://10.7/", "http://service-1.example http://service-2.example"),
        ("https://wiki.lan/x and wiki.lan:80 alone",
         "https://service-1.example and service-1.example:80 alone"),
        ("http://10.0.0.7:80/x http://[fd00::1]:80/",
         "http://192.0.2.1:80/x http://[2001:db8::1]:80/"),
        ("http://pi1:9990/v1 http://pi1.lab.local/", "http://node-1:9990/v1 http://node-1/"),
    ],
)  # fmt: skip
def test_a_private_service_is_replaced_in_every_spelling(text: str, told: str) -> None:
    names = Pseudonyms({"pi1": "node-1"})
    assert names.text(text) == told
    assert names.text(told) == told


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/a/b https://huggingface.co/x https://docs.python.org:443/3/",
        "http://example.com/wiki.lan https://local.example.com/x https://lan.kr/",
        "http://localhost:8080/x http://127.0.0.1:1 http://0.0.0.0:80/ http://[::1]:8080/",
        "https://service-1.example http://node-2:9998 http://other-node-1/ https://api-1.example/v1",
        "self.local x.internal https:// http:/x build.corp",
    ],
)
def test_public_hosts_and_what_only_looks_so_stay(text: str) -> None:
    names = Pseudonyms({"pi1": "node-1"})
    assert names.text(text) == text
    assert names.secrets == 0


def test_a_password_before_a_private_host_is_counted_as_a_key() -> None:
    names = Pseudonyms({})
    names.text("https://kim:geheim@wiki.corp/")
    assert names.secrets == 1


MACHINES = {
    "bench7": ("bench7.firm.example", "10.0.0.77"),
    "kiste": (),
    "unseen": ("unseen.firm.example",),
    "server": (),
    "pi1": ("192.0.2.5",),
}


def noted(run: Path, text: str) -> Path:
    """Write a text into a log of the run, and its hash into the record."""
    log = min((run / ATTEMPTS_FOLDER).glob("*/*.root.out"))
    log.write_text(log.read_text() + text)

    def vouch(record: dict[str, dict[str, object]]) -> None:
        record["file_bytes"][log.name] = log.stat().st_size
        record.get("file_sha256", {}).pop(log.name, None)

    changed(log.with_name(ATTEMPT_FILE), vouch)
    return log


def test_machines_that_only_the_inventory_has_are_replaced_in_the_order_of_the_run(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path / "results", nodes=(1, 2), engines=("distributed-llama",))
    noted(run, "copied by KISTE, then bench7.firm.example and bench7 (pi1), the server is up\n")
    account = Account.read(run)
    names = pseudonyms_of(run, account, (), MACHINES)
    assert names.names["kiste"] == "other-node-1"
    assert names.names["bench7"] == names.names["bench7.firm.example"] == "other-node-2"
    assert names.names["pi1"] == "node-1"
    assert not {"unseen", "server", "10.0.0.77"} & names.names.keys()
    folder, _ = write_without_names(run, account, tmp_path / "shared", (), MACHINES)
    told = "".join(path.read_text() for path in (tmp_path / "shared" / folder).rglob("*.root.out"))
    assert "by other-node-1, then other-node-2 and other-node-2 (node-1), the server is" in told
    with_more = pseudonyms_of(run, account, (), {"one-more": (), **MACHINES})
    assert with_more.names == names.names, "only what the run names counts"


def test_the_machines_of_an_inventory_have_all_their_addresses() -> None:
    found = listed_machines(PROJECT, "inventory/example.yml")
    assert found["pi3"] == ("pi3.local", "192.168.1.13")
    assert "plug_strip" in found


def test_an_inventory_that_is_gone_is_said_unless_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verbs.sharing, "PROJECT", PROJECT)
    monkeypatch.setenv("ANSIBLE_INVENTORY", str(tmp_path / "gone.yml"))
    assert verbs.sharing.machines_there(None) == {}
    assert "Machines that are only in the inventory are not looked for" in capsys.readouterr().err
    with pytest.raises(HerdError, match="Reading the inventory"):
        verbs.sharing.machines_there(str(tmp_path / "gone.yml"))


@pytest.mark.parametrize("stored", MEASURED, ids=lambda path: path.name)
def test_the_id_of_a_plan_is_that_which_its_record_gives(stored: Path) -> None:
    run = load_run(stored)
    assert (plan_id_of_run(run) == run.plan_id) == (stored.name != MADE_UP)


def test_a_run_with_names_whose_plan_has_another_id_is_taken_in_and_says_so(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path / "results", nodes=(1, 2), engines=("distributed-llama",))
    for right in (False, True):
        if right:
            told = plan_id_of_run(load_run(run))
            changed(run / RUN_FILE, lambda plan, told=told: plan.update(plan_id=told))
        archive = tmp_path / f"{right}.tar.gz"
        export_run(run, archive, write_report, "1", with_names=True)
        taken = import_run(archive, tmp_path / f"in-{right}", write_report, "1", plan_id_of_run)
        assert taken.record.notes == (() if right else (OTHER_PLAN,))
    with tarfile.open(archive) as tar:
        assert json.load(tar.extractfile("./export.json"))["names"] == "kept"  # type: ignore[arg-type]
