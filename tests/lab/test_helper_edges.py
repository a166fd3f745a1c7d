"""What the operator of a node cannot have the helper do as root, tried over `sudo`."""

from __future__ import annotations

import signal
from shlex import quote

import pytest

from core.errors import HerdError
from experiments.nodes.launcher import Conversation, Reply, Request, ask
from experiments.nodes.ssh.readings import unit_state
from tests.lab.runs import launcher, owning, until
from tests.lab.virtual_lab import WORKER, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.slow]

BIN = "/opt/llama-herd/engines/llama.cpp/bin"


def request(verb: str, *fields: str) -> Request:
    return Request(verb, tuple((key, value) for key, _, value in map(split, fields)))


def split(field: str) -> tuple[str, str, str]:
    return field.partition("=")


def answer(link: Conversation, verb: str, *fields: str) -> Reply:
    """What the helper says, refusals too."""
    link.send(request(verb, *fields))
    reply = link.poll(30.0)
    assert reply is not None
    return reply


def test_what_an_owner_calls_itself_ends_no_process(lab: VirtualLab) -> None:
    lab.on(WORKER, "systemd-run --quiet --unit=victim sleep 600")
    pid = lab.on(WORKER, "systemctl show --property=MainPID --value victim").strip()
    node = lab.cluster(2).nodes[1]
    with launcher() as ssh:
        for who in (f"helper={pid}", "helper=0", "helper=1", "helper=-1"):
            first, second = ssh.open(node), ssh.open(node)
            ask(first, request("own", f"who={who}"))
            taken = answer(second, "own", "who=x", "force=yes")
            assert (taken.ok, taken.text("owner")) == (True, who)
            second.close(5.0)
    state = lab.on(WORKER, "systemctl is-active victim; systemctl stop victim").strip()
    assert state == "active"


@pytest.mark.parametrize("user", ["pi", "herd", "nobody"])
def test_nobody_but_root_holds_the_lock(lab: VirtualLab, user: str) -> None:
    node = lab.cluster(2).nodes[1]
    with launcher() as ssh:
        ask(ssh.open(node), request("own", "who=first"))
        held = lab.on(
            WORKER,
            f"setpriv --reuid={user} --clear-groups flock --nonblock --shared "
            "/run/llama-herd.owner true 2>&1 || true",
        )
        assert "Permission denied" in held


def test_a_unit_of_the_node_itself_is_neither_stopped_nor_cleaned_away(lab: VirtualLab) -> None:
    lab.on(WORKER, "systemd-run --quiet --unit=herd-backup sleep 600")
    with launcher() as ssh:
        link = ssh.open(lab.cluster(2).nodes[1])
        told = [answer(link, verb, "unit=herd-backup") for verb in ("stop", "halt")]
        ask(link, request("own", "who=x"))
        ask(link, request("clean"))
    state = lab.on(WORKER, "systemctl is-active herd-backup; systemctl stop herd-backup").strip()

    assert {reply.text("error") for reply in told} == {
        "the unit herd-backup is this node's own, not one of llama-herd"
    }
    assert state == "active"


@pytest.mark.parametrize(
    "fields",
    [
        ("env=PATH=/home/pi", f"arg={BIN}/llama-bench"),
        ("env=GGML_BACKEND_PATH=/home/pi/x.so", f"arg={BIN}/llama-bench"),
        (f"arg={BIN}/llama-bench", "arg=--model", "arg=/home/pi/x.gguf"),
        (f"arg={BIN}/llama-server", "arg=--log-file", "arg=x"),
        (f"arg={BIN}/llama-server", "arg=--model", "arg=--prompt", "arg=--log-file", "arg=x"),
        ("arg=/usr/bin/stdbuf", "arg=-oL", "arg=/bin/sh"),
    ],
)
def test_an_engine_gets_nothing_that_chooses_code(lab: VirtualLab, fields: tuple[str, ...]) -> None:
    with launcher() as ssh, pytest.raises(HerdError):
        ask(
            owning(ssh, lab.cluster(1).root),
            request("run", "unit=herd-x-root", "deadline=5", *fields),
        )


@pytest.mark.parametrize("user", ["pi", "herd", "nobody"])
@pytest.mark.parametrize(
    "change",
    [
        "echo '{}' >install.json",
        "ln -sf /dev/shm/evil.json install.json",
        "mv install.json away.json",
        "rm install.json",
    ],
)
def test_nobody_but_root_says_which_options_an_engine_gets(
    lab: VirtualLab, user: str, change: str
) -> None:
    said = lab.on(
        WORKER,
        f"cd {BIN}/.. && setpriv --reuid={user} --clear-groups sh -c {quote(change)} 2>&1 || true",
    )
    assert "Permission denied" in said


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("chmod 664 install.json", "is not root's alone"),
        ("chown herd install.json", "is not root's alone"),
        ("mv install.json real.json; ln -s real.json install.json", "install.json"),
        ("echo '{\"installed\": true}' >install.json", "does not say which options llama.cpp gets"),
        ("truncate --size=2M install.json", "has more than 1048576 bytes"),
        ("rm install.json", "No such file or directory"),
    ],
)
def test_an_engine_whose_record_is_not_roots_word_is_not_started(
    lab: VirtualLab, change: str, told: str
) -> None:
    folder = f"{BIN}/.."
    lab.on(WORKER, f"cd {folder} && cp --archive install.json kept.json && {change}")
    try:
        with launcher() as ssh:
            link = owning(ssh, lab.cluster(2).nodes[1])
            reply = answer(link, "run", "unit=herd-x-root", "deadline=5", f"arg={BIN}/llama-bench")
    finally:
        lab.on(WORKER, f"cd {folder} && rm -f install.json real.json && mv kept.json install.json")
    assert not reply.ok
    assert told in reply.text("error")


@pytest.mark.parametrize("path", ["/etc/shadow", "/dev/zero", "/opt/llama-herd/models/trap/x"])
def test_only_model_files_are_hashed(lab: VirtualLab, path: str) -> None:
    lab.on(WORKER, "mkdir -p /opt/llama-herd/models/trap")
    lab.on(WORKER, "ln -sf /etc/shadow /opt/llama-herd/models/trap/x")
    with launcher() as ssh:
        reply = answer(ssh.open(lab.cluster(2).nodes[1]), "hash", f"file={path}")
    lab.on(WORKER, "rm -r /opt/llama-herd/models/trap")
    assert not reply.ok
    assert "sha256" not in reply.parts


def test_a_log_without_end_fills_neither_the_disk_nor_the_controllers_memory(
    lab: VirtualLab,
) -> None:
    lab.on(WORKER, f"printf '#!/bin/sh\\nexec yes\\n' >{BIN}/flood; chmod 755 {BIN}/flood")
    with launcher() as ssh:
        link = owning(ssh, lab.cluster(2).nodes[1])
        reply = answer(link, "run", "unit=herd-flood-root", "deadline=60", f"arg={BIN}/flood")
        lab.on(WORKER, f"rm {BIN}/flood")
        until(lambda: not lab.on(WORKER, "ls /var/lib/llama-herd/attempts").strip())
    state = unit_state(reply.pairs("props"))

    assert (state.result, state.signal) == ("signal", signal.SIGXFSZ)
    assert len(reply.parts["out"]) < 65 << 20
    assert b"\n[herd-node: " in reply.parts["out"]
    assert reply.pairs("ends")["out"] == str(128 << 20)


def test_units_have_limits_and_there_are_not_many(lab: VirtualLab) -> None:
    node = lab.cluster(2).nodes[1]
    show = "systemctl show -p MemoryMax -p TasksMax -p LimitFSIZE herd-many0"
    with launcher() as ssh:
        link = ssh.open(node)
        ask(link, request("own", "who=x"))
        told = []
        for number in range(20):
            fields = (f"unit=herd-many{number}", "deadline=60", "ready=0", "line=never")
            reply = answer(link, "start", *fields, f"arg={BIN}/ggml-rpc-server")
            told.append(reply.text("error"))
        shown = dict(line.split("=") for line in lab.on(WORKER, show).splitlines())
        ask(link, request("clean"))

    assert told.count("16 units run here already") == 4
    assert int(shown["MemoryMax"]) < node_memory_bytes(lab)
    assert (shown["TasksMax"], shown["LimitFSIZE"]) == ("4096", str(128 << 20))


def node_memory_bytes(lab: VirtualLab) -> int:
    return 1024 * int(lab.on(WORKER, "awk '/MemTotal/ {print $2}' /proc/meminfo"))
