"""What the helper does as root for those who are not: each privilege, and where it ends."""

from __future__ import annotations

import ast
import contextlib
import ctypes
import hashlib
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from collect.questions import load_questions
from collect.workloads import Greedy, Perplexity, Questions, Workload
from experiments.engines import ENGINES, ON_NODES
from experiments.engines.base import Cell
from experiments.engines.several import deploy_all
from experiments.fleet.cluster import Cluster
from experiments.nodes.ssh.wire import encode
from experiments.planning.matrix import load_matrix
from experiments.trials.trial import _launch
from herd_node import conversation, places, privileges, units
from herd_node.allowed import words_of
from herd_node.firewall import Firewall, within
from herd_node.ground import RefusalError
from herd_node.messages import Request
from herd_node.privileges import check_program
from tests.unit.test_engines import BENCHMARK, cell, cluster

PROGRAM = "/opt/llama-herd/engines/llama.cpp/bin/llama-bench"
PETALS = "/opt/llama-herd/engines/petals/bin/petals-server"
NEEDS_TRAINING = {"before_after", "prompts"}
"""Matrices with a model that a user trains first."""
MATRICES = [
    path for path in Path("experiments/matrices").glob("*.yml") if path.stem not in NEEDS_TRAINING
]
CLIENT = "/usr/local/libexec/llama-herd/herd-ask"
PROBE = "/usr/local/libexec/llama-herd/herd-probe"
PRIVILEGED = {
    *("kill", "killpg", "pidfd_send_signal", "unlink", "remove", "rmdir", "rename", "replace"),
    *("chmod", "chown", "flock", "lockf", "ftruncate", "truncate", "run", "Popen", "system"),
    *("execv", "execve", "spawnv", "symlink", "link", "mkdir", "makedirs", "socket", "open"),
}
"""Names of functions that change something, or start a program."""


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Folders of the test's own in the place of the node's."""
    for name in ("attempts", "models"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(places, "ATTEMPTS", str(tmp_path / "attempts"))
    monkeypatch.setattr(places, "MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(places, "LOCK", str(tmp_path / "lock"))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A node on which every program is installed; the folder of its engines, which is root's."""
    monkeypatch.setattr(os, "access", lambda _path, _mode: True)
    monkeypatch.setattr(privileges, "ROOT", os.getuid())
    monkeypatch.setattr(places, "ENGINES", str(tmp_path / "engines"))
    for name, engine in ON_NODES.items():
        lists = {"options": engine.options, "flags": engine.flags, "texts": engine.texts}
        write_record(tmp_path / "engines" / name, said(**lists))
    return tmp_path / "engines"


def said(**lists: object) -> str:
    """A record that lets an engine be given so much, and nothing else."""
    nothing: dict[str, object] = {"options": [], "flags": [], "texts": []}
    return json.dumps({"flags": "-march=native", "arguments": {**nothing, **lists}})


def write_record(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "install.json"
    path.write_text(text)
    path.chmod(0o644)
    return path


# -- what may be started ------------------------------------------------------------------


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("engine", ON_NODES)
@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize(
    "workload",
    [
        BENCHMARK,
        Perplexity(text="experiments/texts/alice.txt", characters=200),
        Greedy(prompts=("/bin/sh --x costs $5",), positions=16, text="--log-file /etc/passwd"),
        Questions(file="q.yml", asked=load_questions(Path("experiments/questions/six.yml"))),
    ],
    ids=lambda workload: workload.kind,
)
def test_whatever_an_engine_asks_for_is_allowed(
    engine: str, nodes: int, workload: Workload
) -> None:
    params = cell(engine, nodes=nodes).params
    deployment = ENGINES[engine].deploy(Cell(params, workload), cluster())
    server = [deployment.server] if deployment.server else []

    for process in (*deployment.workers, *server, deployment.root):
        asked = encode(_launch("run", process, "a1", 60.0)).decode()
        check_program(Request(asked.strip("\n").split("\n")))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("matrix", sorted(MATRICES), ids=lambda path: path.stem)
def test_what_the_projects_matrices_deploy_is_allowed_and_guarded(matrix: Path) -> None:
    guarded = ["9980", *(ports for engine in ON_NODES.values() for ports in engine.ports)]
    asked = load_matrix(matrix)
    groups = frozenset(map(str, asked.axes.get("group", ())))
    fleet = Cluster(tuple(replace(node, groups=groups) for node in cluster(8).nodes))
    made = [
        deployment
        for one in asked.cells(fleet)
        for deployment in deploy_all(ENGINES[one.engine], one, fleet)
    ]
    for deployment in made:
        server = [deployment.server] if deployment.server else []
        for process in (*deployment.workers, *server, deployment.root):
            asked = encode(_launch("run", process, "a1", 60.0)).decode()
            request = Request(asked.strip("\n").split("\n"))
            words = check_program(request)
            for port in request.ports(words) - {None}:
                assert any(within(port, ports) for ports in guarded)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--log-file", "x"],
        ["--models-dir", "x"],
        ["-m", "x"],
        ["-hf", "x"],
        ["--model", "/srv/evil"],
        ["--model", "/opt/llama-herd/models/../../../tmp/evil"],
        ["--model", "/opt/llama-herd/models/a/../b"],
        ["--model", "/opt/llama-herd/models/./b"],
        ["--model", "/opt/llama-herd/models//b"],
        ["--model", "/opt/llama-herd/models/"],
        ["--model", "dev/shm/evil"],
        ["--model", "./evil"],
        ["--model=/srv/evil"],
        ["--threads", "1", "/srv/evil"],
        ["--prompt", "a text", "/srv/evil"],
        ["--prompt", "--prompt", "/srv/evil"],
        *([option, "--prompt", "--log-file", "x"] for option in ("--model", "--host", "--threads")),
        ["--threads", "--model", "--prompt", "t"],
        ["--model", "-x"],
        ["--", "--prompt", "t"],
        ["--model", "$HOME"],
        ["--model", "${PATH}"],
        ["--prompt", "$$$PATH"],
        ["--prompt", "x" * 131_072],
        ["--prompt", "x" * 130_000] * 16,
    ],
)
@pytest.mark.parametrize("program", [PROGRAM, PETALS])
def test_no_argument_leads_to_another_program_or_a_file_that_is_no_model(
    program: str, arguments: list[str]
) -> None:
    with pytest.raises(RefusalError):
        check_program(Request(["run", *(f"arg={word}" for word in (program, *arguments))]))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "arguments",
    [
        ["http://127.0.0.1:9980/v1"],
        ["http://10.0.0.1:9980/v1", "300", "{}"],
        ["http://127.0.0.1:80@10.0.0.1/v1", "300", "{}"],
        ["http://127.0.0.1.example:80/v1", "300", "{}"],
        ["--key-env", "PATH", "http://127.0.0.1:9980/v1", "300", "{}"],
        ["http://127.0.0.1:9980/v1", "300", "--keep"],
        ["http://127.0.0.1:9980/v1", "--replay", "{}"],
    ],
)
def test_the_client_asks_servers_on_this_node_and_nothing_else(arguments: list[str]) -> None:
    with pytest.raises(RefusalError):
        check_program(Request(["run", *(f"arg={word}" for word in (CLIENT, *arguments))]))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("arguments", "listened"),
    [
        (("node", "256", "4"), None),
        (("links", "9999", "10.0.0.2", "10.0.0.3"), None),
        (("listen", "10.0.0.1", "9999"), 9999),
    ],
)
def test_the_probe_measures_and_its_port_is_one_that_the_firewall_must_guard(
    arguments: tuple[str, ...], listened: int | None
) -> None:
    request = Request(["run", *(f"arg={word}" for word in (PROBE, *arguments))])
    assert request.ports(check_program(request)) == {None, listened}
    assert not request.engine()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["node"],
        ["node", "256"],
        ["node", "-1", "4"],
        ["node", "256", "4", "/etc/shadow"],
        ["node", "256 4"],
        ["links", "9999"],
        ["links", "9999", "example.org"],
        ["links", "9999", "10.0.0.2", "--option"],
        ["listen", "10.0.0.1"],
        ["listen", "/run/socket", "9999"],
        ["listen", "10.0.0.1", "9999", "9998"],
        ["shell", "sh"],
    ],
)
def test_the_probe_does_nothing_but_measure(arguments: list[str]) -> None:
    with pytest.raises(RefusalError, match="nothing that the probe measures"):
        check_program(Request(["run", *(f"arg={word}" for word in (PROBE, *arguments))]))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "assignment",
    [
        *("PATH=/dev/shm:/usr/bin", "LD_PRELOAD=/x.so", "LD_AUDIT=/x.so", "LD_LIBRARY_PATH=/x"),
        *("PYTHONPATH=/x", "PYTHONHOME=/x", "PYTHONSTARTUP=/x", "BASH_ENV=/x", "ENV=/x", "IFS=/"),
        *("GCONV_PATH=/x", "LOCPATH=/x", "HOME=/x", "XDG_CACHE_HOME=/x", "TMPDIR=/x", "SHELL=/x"),
        *(
            "GGML_BACKEND_PATH=/x.so",
            "LLAMA_ARG_MODEL=/x",
            "GGML_NO_BACKTRACE=/x",
            "MALLOC_CHECK_=3",
        ),
        *(
            "OMP_NUM_THREADS=4",
            "GLIBC_TUNABLES=x",
            "ggml_no_backtrace=1",
            "GGML_NO_BACKTRACE",
            "=1",
            "",
        ),
    ],
)
def test_no_variable_chooses_code(assignment: str) -> None:
    with pytest.raises(RefusalError, match="no variable for an engine"):
        check_program(Request(["run", f"arg={PROGRAM}", f"env={assignment}"]))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "program",
    [
        "/opt/llama-herd/engines/../bin/x",
        "/opt/llama-herd/engines/x/bin/..",
        "/opt/llama-herd/engines/x/builds/1/bin/x",
        "/opt/llama-herd/engines/x/bin/x",
    ],
)
def test_only_engines_that_it_knows_are_started(program: str) -> None:
    with pytest.raises(RefusalError):
        check_program(Request(["run", f"arg={program}"]))


# -- what an engine's record may let it be started with -----------------------------------


MODEL = ["--model", "/opt/llama-herd/models/m"]


def start(*arguments: str) -> None:
    check_program(Request(["run", *(f"arg={word}" for word in (PROGRAM, *arguments))]))


def test_an_option_is_allowed_because_the_engines_record_has_it(installed: Path) -> None:
    start(*MODEL)
    write_record(installed / "llama.cpp", said())
    with pytest.raises(RefusalError, match=r"'--model' is no option that llama\.cpp"):
        start(*MODEL)
    write_record(installed / "llama.cpp", said(flags=["--quick"]))
    start("--quick")
    with pytest.raises(RefusalError, match="is not below"):
        start("--quick", "/etc/passwd")


def test_an_engines_record_lets_no_other_engine_do_anything(installed: Path) -> None:
    write_record(installed / "petals", said(options=["--log-file"]))
    with pytest.raises(RefusalError, match=r"'--log-file' is no option that llama\.cpp"):
        start("--log-file", "x")


def test_no_record_opens_a_path_that_is_no_models(installed: Path) -> None:
    write_record(installed / "llama.cpp", said(options=["--log-file"]))
    with pytest.raises(RefusalError, match="is not below"):
        start("--log-file", "/etc/passwd")


@pytest.mark.parametrize(
    "record",
    [
        '{"installed": true, "version": "before engines said so"}',
        *("", "[]", "null", '"--model"', "{", "[" * 100_000, '{"options": ["--model"]}'),
        *('{"arguments": []}', '{"arguments": {"options": ["--model"]}}'),
        said(options="--model"),
        said(options={"--model": 1}),
        said(flags=None),
        *(
            said(options=[word])
            for word in (
                "",
                "-m",
                "--",
                "model",
                "--Model",
                "--a b",
                "--a\n",
                "--a=b",
                "--é",
                "/x",
                1,
            )
        ),
        said(texts=[["--prompt"]]),
        said(options=[f"--o{number}" for number in range(201)]),
        said(options=["--" + "x" * 100]),
    ],
    ids=lambda record: record[:60],
)
def test_a_record_that_does_not_list_options_starts_nothing(installed: Path, record: str) -> None:
    write_record(installed / "llama.cpp", record)
    with pytest.raises(RefusalError) as refused:
        start(*MODEL)
    assert str(refused.value) == (
        "/opt/llama-herd/engines/llama.cpp/install.json does not say which options llama.cpp gets: "
        "provision the engines of this node again"
    )


def test_an_option_is_of_one_kind(installed: Path) -> None:
    both = said(options=["--prompt"], texts=["--prompt"])
    write_record(installed / "llama.cpp", both)
    with pytest.raises(RefusalError, match="in two of its lists"):
        start("--prompt", "/etc/passwd")


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o777])
def test_a_record_that_others_may_write_starts_nothing(installed: Path, mode: int) -> None:
    (installed / "llama.cpp" / "install.json").chmod(mode)
    with pytest.raises(RefusalError, match="is not root's alone"):
        start(*MODEL)


def test_a_record_of_another_user_starts_nothing(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privileges, "ROOT", os.getuid() + 1)
    with pytest.raises(RefusalError, match="is not root's alone"):
        start(*MODEL)


def test_a_record_is_bounded(installed: Path) -> None:
    write_record(installed / "llama.cpp", said() + " " * (1 << 20))
    with pytest.raises(RefusalError, match="has more than 1048576 bytes"):
        start()


@pytest.mark.parametrize("kind", ["link", "link_of_folder", "folder", "pipe", "absent"])
def test_a_record_is_a_regular_file_below_its_folder(installed: Path, kind: str) -> None:
    folder = installed / "llama.cpp"
    path = folder / "install.json"
    elsewhere = installed.parent / "elsewhere"
    write_record(elsewhere, path.read_text())
    path.unlink()
    if kind == "link":
        path.symlink_to(elsewhere / "install.json")
    elif kind == "link_of_folder":
        folder.rmdir()
        folder.symlink_to(elsewhere)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(RefusalError):
        start(*MODEL)


@pytest.mark.parametrize(
    ("field", "least", "most"),
    [("deadline", 1, 172_800), ("port", 1, 65_535), ("ready", 0, 86_400)],
)
def test_every_number_has_bounds(field: str, least: int, most: int) -> None:
    for number in (least - 1, most + 1, 10**14):
        with pytest.raises(RefusalError):
            Request(["start", f"{field}={number}"]).number(field, most, least=least)
    assert Request(["start", f"{field}={most}"]).number(field, most, least=least) == most


@pytest.mark.parametrize("lines", [["run"] * 20_001, ["run", "arg=/bin/x\0y"]])
def test_a_request_is_no_longer_than_the_toolkits(lines: list[str]) -> None:
    with pytest.raises(RefusalError):
        Request(lines)


class Bus:
    """systemd, as a test says that it is."""

    def __init__(self, **properties: str) -> None:
        self.properties = {"LoadState": "loaded", "User": "herd", **properties}
        self.called: list[str] = []
        self.left = 0

    def word(self, _unit: str, _interface: str, member: str) -> str:
        return self.properties.get(member, "")

    def call(self, member: str, _types: str, *_values: object) -> None:
        self.called.append(member)


@pytest.mark.parametrize("transient", [True, False])
@pytest.mark.parametrize("user", ["herd", "", "backup"])
def test_a_unit_of_the_node_itself_is_not_stopped_for_its_name(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    user: str,
    transient: bool,  # noqa: FBT001 - pytest gives it by name
) -> None:
    monkeypatch.setattr(places, "TRANSIENT", str(tmp_path))
    if transient:
        (tmp_path / "herd-backup.service").touch()
    bus = Bus(User=user)
    if transient and user == "herd":
        privileges.stop_unit(bus, "herd-backup")
        assert bus.called == ["StopUnit"]
        assert privileges.running_units(bus) == ["herd-backup"]
    else:
        for refused in (privileges.stop_unit, privileges.forget_unit):
            with pytest.raises(RefusalError, match="this node's own"):
                refused(bus, "herd-backup")
        assert bus.called == []
        assert privileges.running_units(bus) == []


def test_a_unit_that_systemd_forgets_meanwhile_is_not_taken_for_the_nodes_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has stopped: its file and its properties go at once, between any two questions."""
    monkeypatch.setattr(places, "TRANSIENT", str(tmp_path))

    class Forgetful(Bus):
        def word(self, unit: str, interface: str, member: str) -> str:
            if self.left == 0:
                (tmp_path / "herd-a.service").unlink(missing_ok=True)
                self.properties = {"LoadState": "not-found"}
            self.left -= 1
            return super().word(unit, interface, member)

    for left in range(4):
        (tmp_path / "herd-a.service").touch()
        bus = Forgetful()
        bus.left = left
        privileges.forget_unit(bus, "herd-a")


def test_what_fails_after_a_reply_is_no_second_reply(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """It would be taken for the reply to what is asked next."""
    monkeypatch.setattr(conversation, "Systemd", Bus)

    def fails(*_: object) -> None:
        raise RefusalError("the unit is gone")

    talk = conversation.Conversation()
    for name in ("verb_ping", "verb_watch"):
        monkeypatch.setattr(talk, name, lambda _, reply: (reply.send(), fails()))
        talk.answer([name.removeprefix("verb_")])
        assert capfdbinary.readouterr().out == b"end ok %s\n" % name[5:].encode()


# -- the lock, and the end of who holds it ------------------------------------------------


@contextlib.contextmanager
def holding(folder: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of some name that holds the lock there."""
    program = folder / name
    program.write_text(
        f"import fcntl, time\nfile = open({str(folder / 'lock')!r}, 'r+')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\nprint('held', flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-IS", str(program), *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/local/libexec/llama-herd/herd-node", "serve"])


def test_only_logs_of_units_are_deleted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A disk of its own, mounted there, has a folder that no owner shall stumble over."""
    monkeypatch.setattr(places, "TRANSIENT", str(tmp_path / "none"))
    logs = tmp_path / "attempts"
    (logs / "lost+found").mkdir()
    for name in ("herd-a-root.out", "herd-a-root.err", "herd-a-root.txt", "mine.out"):
        (logs / name).touch()
    assert units.stop_all(Bus()) == []
    assert sorted(path.name for path in logs.iterdir()) == [
        *("herd-a-root.txt", "lost+found", "mine.out"),
    ]


def test_the_lock_is_roots_alone(tmp_path: Path) -> None:
    lock = privileges.NodeLock()
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600
    assert lock.taken(0.0)
    lock.sign("user=a host=b pid=1 since=now\nhelper=1\x1b[2J")
    assert lock.signed() == "user=a host=b pid=1 since=now?helper=1?[2J\n"
    assert not privileges.NodeLock().taken(0.0)


@pytest.mark.usefixtures("installed")
def test_only_the_owner_of_a_node_starts_something(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(conversation, "Systemd", lambda: None)
    what = ["unit=herd-x", "deadline=9", f"arg={PROGRAM}"]
    for request in (["run", *what], ["start", "line=x", *what]):
        assert not conversation.Conversation().answer(request)
        assert b"this connection does not own the node" in capfdbinary.readouterr().out


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o640, 0o601])
def test_a_lock_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "lock").chmod(mode)
    with pytest.raises(RefusalError, match="others than root"):
        privileges.NodeLock()


@pytest.mark.usefixtures("named")
def test_a_helper_that_holds_the_lock_is_ended(tmp_path: Path) -> None:
    lock = privileges.NodeLock()
    with holding(tmp_path, "herd-node", "serve") as other:
        assert not lock.taken(0.0)
        lock.end_holder()
        assert lock.taken(5.0)
        assert other.wait(5.0) == -9


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(("name", "verb"), [("sshd", "serve"), ("herd-node", "facts")])
def test_nothing_else_is_ended_even_if_it_holds_the_lock(
    tmp_path: Path, name: str, verb: str
) -> None:
    lock = privileges.NodeLock()
    with holding(tmp_path, name, verb) as other:
        lock.end_holder()
        time.sleep(0.1)
        assert other.poll() is None


@pytest.mark.usefixtures("named")
def test_what_an_owner_calls_itself_ends_nobody() -> None:
    victim = subprocess.Popen(["sleep", "60"])
    try:
        for who in (f"helper={victim.pid}", f"x\nhelper={victim.pid}", "helper=0", "helper=-1"):
            first, second = privileges.NodeLock(), privileges.NodeLock()
            assert first.taken(0.0)
            first.sign(who)
            second.end_holder()  # this process holds it, which does not end itself
            first.close()
            second.close()
        for pid in (0, -1, 1, os.getpid(), victim.pid, 2**31 - 1):
            privileges.end_helper(pid)
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


# -- reading and deleting -----------------------------------------------------------------


def test_a_model_file_is_hashed(tmp_path: Path) -> None:
    (tmp_path / "models" / "m").mkdir()
    (tmp_path / "models" / "m" / "a.m").write_bytes(b"model")
    wanted = hashlib.sha256(b"model").hexdigest()
    assert privileges.sha256_of(f"{tmp_path}/models/m/a.m") == wanted


def test_the_stamp_of_a_file_changes_with_what_it_holds(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "m"
    folder.mkdir()
    path = folder / "a.m"
    path.write_bytes(b"model")
    stamp, before = privileges.file_stamp(str(path)), path.stat()
    assert stamp
    assert privileges.file_stamp(str(path)) == stamp
    path.write_bytes(b"other")  # as long, and as old
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert privileges.file_stamp(str(path)) != stamp
    (folder / "link").symlink_to(path)
    for none in ("link", "gone", "../m"):
        assert privileges.file_stamp(f"{folder}/{none}") == ""
    with pytest.raises(RefusalError):
        privileges.file_stamp(str(tmp_path / "secret"))


def test_nothing_else_is_hashed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("4711")
    models = tmp_path / "models"
    (models / "m").mkdir()
    (models / "link").symlink_to(secret)
    (models / "folder").symlink_to(tmp_path)
    os.mkfifo(models / "m" / "fifo")
    (models / "m" / "null").symlink_to("/dev/null")
    for path in (
        *(secret, tmp_path / "models/../secret", models / "link", models / "folder/secret"),
        *(models / "m/fifo", models / "m/null", models / "m", models / "gone", models / "m//x"),
    ):
        with pytest.raises(RefusalError):
            privileges.sha256_of(str(path))
    for text in ("", "/", f"{models}", f"{models}/", f"{models}/m/", f"{models}/./m", "/dev/zero"):
        with pytest.raises(RefusalError):
            privileges.sha256_of(text)


def test_no_other_file_is_hashed_while_links_are_swapped(tmp_path: Path) -> None:
    """As one might who could write into the folder: a place that was looked at is that place."""
    models = tmp_path / "models"
    (tmp_path / "secret").write_text("4711")
    (models / "a").write_text("model")
    (models / "b").symlink_to(tmp_path / "secret")
    libc = ctypes.CDLL(None)
    swapper = os.fork()
    if swapper == 0:
        exchange, here = 2, -100
        while True:
            libc.renameat2(here, bytes(models / "a"), here, bytes(models / "b"), exchange)
    told = set()
    try:
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            with contextlib.suppress(RefusalError):
                told.add(privileges.sha256_of(f"{models}/a"))
    finally:
        os.kill(swapper, 9)
        os.waitpid(swapper, 0)
    assert told == {hashlib.sha256(b"model").hexdigest()}


def test_a_log_without_end_is_handed_over_by_its_ends_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(units, "LOG_BYTES", 400)
    log = tmp_path / "attempts" / "herd-x.out"
    lines = [f"line {number}\n" for number in range(1000)]
    log.write_text("".join(lines))
    size = log.stat().st_size

    whole = units.handed("herd-x", "out", size - 400, size)
    cut = units.handed("herd-x", "out", 0, size).decode()

    assert whole == log.read_bytes()[-400:]
    first, mark, last = cut.partition("[herd-node: ")
    count, _, last = last.partition(" bytes of this log are left out here, it has ")
    assert mark
    assert lines[: first.count("\n")] == first.splitlines(keepends=True)
    told, _, last = last.partition("]\n")
    assert int(told) == size
    assert lines[-last.count("\n") :] == last.splitlines(keepends=True)
    assert int(count) == size - len(first) - len(last)


def test_a_log_of_one_endless_line_has_its_mark_on_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(units, "LOG_BYTES", 400)
    (tmp_path / "attempts" / "herd-x.out").write_bytes(b"x" * 5000)
    cut = units.handed("herd-x", "out", 0, 5000)
    assert len(cut) < 600
    assert b"\n[herd-node: " in cut


def test_a_place_that_is_no_log_is_read_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("4711")
    (tmp_path / "attempts" / "herd-x.out").symlink_to(tmp_path / "secret")
    with pytest.raises(RefusalError, match="no regular file"):
        privileges.read_log("herd-x", "out", 0, 100)


# -- the firewall -------------------------------------------------------------------------

TABLE = """table inet llama_herd {
	set nodes4 {
		elements = { 10.0.0.1, 10.0.0.2 }
	}
	chain input {
		type filter hook input priority filter - 10; policy accept;
		tcp dport { 9980, 9990-9999 } jump engines
	}
}
"""


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A node whose firewall is right."""
    for name, told in (
        ("FIREWALL", "file"),
        ("FIREWALL_LOADED", "loaded"),
        ("FIREWALL_OFF", "off"),
    ):
        monkeypatch.setattr(places, name, str(tmp_path / told))
    (tmp_path / "file").write_text("the file")
    digest = hashlib.sha256(b"the file").hexdigest()
    (tmp_path / "loaded").write_text(f"{digest}\n{TABLE}")
    monkeypatch.setattr(privileges, "ruleset_generation", lambda: 1)
    tell(monkeypatch, TABLE)


def tell(monkeypatch: pytest.MonkeyPatch, table: str, code: int = 0) -> list[str]:
    """Have the kernel tell a table; what it was asked."""
    asked: list[str] = []

    def answer(*argv: str) -> subprocess.CompletedProcess[bytes]:
        asked.append(" ".join(argv))
        return subprocess.CompletedProcess(argv, code, stdout=table.encode())

    monkeypatch.setattr(privileges, "asked", answer)
    return asked


@pytest.mark.usefixtures("guarded")
def test_the_kernel_is_asked_again_only_where_its_rules_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    firewall = Firewall()
    asked = tell(monkeypatch, TABLE)
    for generation, times in ((1, 1), (1, 1), (2, 2), (None, 3), (None, 4), (2, 5), (2, 5)):
        monkeypatch.setattr(privileges, "ruleset_generation", lambda told=generation: told)
        firewall.require()
        assert len(asked) == times
    assert set(asked) == {"/usr/sbin/nft --stateless list table inet llama_herd"}


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("", 1),
        ("table inet llama_herd {\n}\n", 0),
        (TABLE.replace("policy accept", "policy drop"), 0),
        (TABLE.replace("10.0.0.2", "0.0.0.0/0"), 0),
        (TABLE.replace("9990-9999", "9990-9998"), 0),
        (TABLE.replace("{\n\tset", "{\n\tflags dormant\n\n\tset"), 0),
    ],
)
def test_a_table_that_is_gone_or_changed_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, table: str, code: int
) -> None:
    firewall = Firewall()
    firewall.require_for(9990)
    tell(monkeypatch, table, code)
    monkeypatch.setattr(privileges, "ruleset_generation", lambda: 2)
    for port in (None, 9990):
        with pytest.raises(RefusalError, match=r"systemctl restart llama-herd-firewall"):
            firewall.require_for(port)
    tell(monkeypatch, TABLE)
    firewall.require_for(9990)


@pytest.mark.usefixtures("guarded")
def test_a_firewall_that_was_never_loaded_or_of_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("another file")
    with pytest.raises(RefusalError, match="changed after it had been loaded"):
        Firewall().require()
    (tmp_path / "loaded").unlink()
    with pytest.raises(RefusalError, match="was not loaded"):
        Firewall().require()
    (tmp_path / "off").touch()
    Firewall().require_for(8080)


def test_a_kernel_that_tells_no_generation_is_asked_for_the_table_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Such as qemu-user, which has no netlink sockets for firewalls."""
    for told in (OSError(93, "Protocol not supported"), b"", b"x" * 20, b"\0" * 40):
        monkeypatch.setattr(privileges.socket, "socket", lambda *_, told=told: Kernel(told))
        assert privileges.ruleset_generation() is None


class Kernel:
    """A netlink socket that answers something else."""

    def __init__(self, told: bytes | OSError) -> None:
        self.told = told

    def __enter__(self) -> Self:
        if isinstance(self.told, OSError):
            raise self.told
        return self

    def __exit__(self, *_: object) -> None: ...

    def settimeout(self, _seconds: float) -> None: ...

    def send(self, _data: bytes) -> None: ...

    def recv(self, _most: int) -> bytes:
        assert isinstance(self.told, bytes)
        return self.told


@pytest.mark.usefixtures("guarded")
def test_no_engine_listens_where_the_firewall_does_not_guard() -> None:
    firewall = Firewall()
    for port in (None, 9980, 9990, 9999):
        firewall.require_for(port)
    for port in (9979, 9981, 9989, 10_000, 80):
        with pytest.raises(RefusalError, match=f"does not guard port {port}:"):
            firewall.require_for(port)


def ports_of(lines: list[str]) -> set[int | None]:
    request = Request(lines)
    engine = request.engine()
    return request.ports(words_of(engine, privileges.record(engine)))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("program", "words"),
    [
        (PROGRAM, ["--host", "10.0.0.1", "--port", "10000"]),
        (PROGRAM, ["--port", "9990", "--data-port", "10000"]),
        (PROGRAM, ["--master-listen", "10.0.0.1:10000"]),
        (PROGRAM, ["--port", "9990", "--port", "10000"]),
        (PROGRAM, ["--port", "10000", "--port", "9990"]),
        (PROGRAM, ["--prompt", "--port", "--port", "10000"]),
        (PETALS, ["--listen", "10.0.0.1:10000"]),
        (PETALS, ["--listen", "[::]:10000"]),
    ],
)
def test_every_port_that_an_engine_is_told_is_looked_at(program: str, words: list[str]) -> None:
    lines = ["start", "port=9990", *(f"arg={word}" for word in (program, *words))]
    assert 10_000 in ports_of(lines)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--host", "10.0.0.1"], "needs --port"),
        (["--port", "http"], "names no port"),
        (["--port", "9990x"], "names no port"),
        (["--port", "-1"], "names no port"),
        (["--port"], "names no port"),
    ],
)
def test_a_port_is_named_by_a_number(words: list[str], told: str) -> None:
    with pytest.raises(RefusalError, match=told):
        ports_of(["run", *(f"arg={word}" for word in (PROGRAM, *words))])


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("words", [["--prompt", "--host"], ["--prompt", "--port", "--seed", "1"]])
def test_a_text_names_no_port(words: list[str]) -> None:
    lines = ["run", *(f"arg={word}" for word in (PROGRAM, *words))]
    assert ports_of(lines) == {None}


# -- one place ----------------------------------------------------------------------------

MODULES = {path.stem: path for path in sorted(Path(privileges.__file__).parent.glob("*.py"))}
"""Of the helper."""
WHOSE = {"os", "fcntl", "signal", "subprocess", "socket"}
"""Modules whose functions may change something, or start a program."""


def privileged(module: str) -> set[str]:
    """Names of the privileged functions that a module of the helper calls.

    `systemd.call` counts; files that are opened by fixed names do not.
    """
    calls = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Call)]
    called = [node.func for node in calls if isinstance(node.func, ast.Attribute)]
    return {one.attr for one in called if is_privileged(one)}


def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def is_privileged(called: ast.Attribute) -> bool:
    whose = called.value.id if isinstance(called.value, ast.Name) else ""
    if called.attr == "call":  # of systemd, whatever the name of it
        return True
    return called.attr in PRIVILEGED and whose in WHOSE


def test_every_privilege_stands_in_one_module() -> None:
    assert {"unlink", "flock", "pidfd_send_signal", "run", "call", "open"} <= privileged(
        "privileges"
    )


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"privileges"}))
def test_no_other_module_of_the_helper_has_a_privilege(module: str) -> None:
    """Neither by its own name nor by another: functions are called as those of their module."""
    assert privileged(module) == set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom):
            assert node.module not in WHOSE
        if isinstance(node, ast.Import):
            assert not [one for one in node.names if one.asname or "." in one.name]
