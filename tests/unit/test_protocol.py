"""The conversation with the helper: exact, whatever the logs hold, in whatever pieces it comes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import HerdError
from experiments.nodes.launcher import Reply, Request
from experiments.nodes.ssh.wire import ReplyReader, encode, reply_of
from herd_node import VERSION, messages, meters, node, places, privileges, systemd, units
from herd_node.ground import RefusalError


def said(parts: dict[str, bytes], *, ok: bool = True) -> bytes:
    """What the helper writes for a reply."""
    reading, writing = os.pipe()
    kept = os.dup(1)
    try:
        os.dup2(writing, 1)
        reply = messages.Reply("run")
        for name, content in parts.items():
            reply.part(name, content)
        reply.send(ok=ok)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read()


@given(
    st.dictionaries(st.sampled_from(["out", "err", "props"]), st.binary(max_size=300)),
    st.integers(1, 60),
)
def test_what_the_helper_writes_is_read_back_byte_for_byte(
    parts: dict[str, bytes], piece_bytes: int
) -> None:
    stream = said(parts) + said({"error": b"end ok run\n"}, ok=False)
    reader = ReplyReader()
    reader.expect("run")
    reader.expect("run")
    replies: list[Reply] = []

    for begin in range(0, len(stream), piece_bytes):
        reply = reader.feed(stream[begin : begin + piece_bytes])
        while reply is not None:
            replies.append(reply)
            reply = reader.feed(b"")

    assert replies == [
        reply_of("run", ok=True, parts=parts),
        reply_of("run", ok=False, parts={"error": b"end ok run\n"}),
    ]


def test_anything_else_is_not_taken_for_a_reply() -> None:
    with pytest.raises(ValueError, match="Welcome to this machine"):
        ReplyReader().feed(b"Welcome to this machine\n")


def test_a_request_arrives_as_it_was_asked() -> None:
    asked = Request("run", (("unit", "herd-x"), ("arg", "a=b"), ("arg", "Tür 🦙"), ("env", "A=1")))

    body = encode(asked).decode().removesuffix("\n\n").split("\n")
    received = messages.Request(body)

    assert received.verb == "run"
    assert received.listed["arg"] == ["a=b", "Tür 🦙"]
    assert received.listed["env"] == ["A=1"]
    assert received.unit() == "herd-x"


@pytest.mark.parametrize("value", ["two\nlines", "nul\0"])
def test_a_line_break_in_an_argument_is_refused(value: str) -> None:
    with pytest.raises(HerdError, match="single lines"):
        encode(Request("run", (("arg", value),)))


@pytest.mark.parametrize("name", ["ssh", "herd-", "herd-A", "herd-a/b", "herd-a b", "herd-a\n"])
def test_the_helper_takes_no_unit_but_ours(name: str) -> None:
    with pytest.raises(RefusalError):
        messages.Request(["stop", f"unit={name}"]).unit()


@pytest.mark.parametrize(
    "argv",
    [
        ["/bin/sh"],
        ["/usr/bin/stdbuf", "-oL", "/bin/sh"],
        ["/opt/llama-herd/engines/../../../bin/sh"],
        ["/opt/llama-herd/engines/x/bin/../sh"],
        ["/opt/llama-herd/engines/x/bin/sh -c"],
        [],
    ],
)
def test_the_helper_takes_no_program_but_engines(argv: list[str]) -> None:
    with pytest.raises(RefusalError, match="is not below"):
        privileges.check_program(messages.Request(["run", *(f"arg={word}" for word in argv)]))


def test_the_helper_takes_the_client_and_nothing_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: True)
    folder = "/usr/local/libexec/llama-herd"

    privileges.check_program(messages.Request(["run", f"arg={folder}/herd-ask"]))
    with pytest.raises(RefusalError):
        privileges.check_program(messages.Request(["run", f"arg={folder}/herd-node"]))


class FakeUnit:
    """A unit that writes what a test says."""

    name = "herd-x-server"
    over = False

    def ended(self) -> bool:
        return self.over


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeUnit:
    monkeypatch.setattr(places, "ATTEMPTS", str(tmp_path))
    return FakeUnit()


def launch(unit: FakeUnit, *fields: str) -> tuple[Any, list[str]]:
    """A launch, and what it answers in the end."""
    said: list[str] = []

    class Answer:
        def send(self) -> None:
            said.append("ready")

        def refuse(self, why: str) -> None:
            said.append(why)

    return units.Launch(unit, Answer(), messages.Request(["start", *fields])), said


@pytest.mark.parametrize("kind", ["out", "err"])
def test_a_server_is_ready_when_its_log_says_so_though_the_words_come_in_pieces(
    unit: FakeUnit, tmp_path: Path, kind: str
) -> None:
    starting, said = launch(unit, "line=Server URL:")
    log = tmp_path / f"{unit.name}.{kind}"

    for piece, ready in (("Loading\nServ", False), ("er U", False), ("RL: http", True)):
        with log.open("a") as file:
            file.write(piece)
        assert starting.settled() == ready
    assert said == ["ready"]


def test_a_server_that_only_listens_is_not_ready(unit: FakeUnit, tmp_path: Path) -> None:
    import socket  # noqa: PLC0415 - this test and the next need it

    log = tmp_path / f"{unit.name}.out"
    log.write_text("")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        starting, said = launch(unit, f"port={port}", "line=is ready")
        assert not starting.settled()
        log.write_text("it is ready\n")
        assert starting.settled()
    assert said == ["ready"]


def test_a_server_that_ends_or_takes_too_long_is_told_with_what_was_awaited(unit: FakeUnit) -> None:
    slow, said = launch(unit, "port=1", "line=up", "ready=0")
    assert slow.settled()
    unit.over = True
    dead, said_of_dead = launch(unit, "line=up")
    assert dead.settled()

    assert said == ["0 s went by before it listened on port 1 and its log said 'up'"]
    assert said_of_dead == ["it ended before its log said 'up'"]


def test_the_helper_takes_no_variable_of_the_dynamic_linker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: True)
    program = "arg=/opt/llama-herd/engines/llama.cpp/bin/llama-bench"

    with pytest.raises(RefusalError, match="LD_PRELOAD"):
        privileges.check_program(messages.Request(["run", program, "env=LD_PRELOAD=/tmp/x.so"]))


def test_the_helper_sees_who_listens_without_connecting() -> None:
    import socket  # noqa: PLC0415 - this test alone needs it

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        inodes = node.listening_inodes(port)
        assert f"(process {os.getpid()})" in node.holder(inodes)
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert node.listening_inodes(port) == []


def test_the_helper_and_the_toolkit_speak_the_same_version() -> None:
    from experiments.nodes.facts import HELPER_VERSION  # noqa: PLC0415 - this test alone needs it

    assert VERSION == HELPER_VERSION


def test_unit_names_become_the_paths_that_systemd_gives_them() -> None:
    # As `systemd-escape` and `busctl tree org.freedesktop.systemd1` show it.
    assert (
        systemd.path_of("herd-a1-r1") == b"/org/freedesktop/systemd1/unit/herd_2da1_2dr1_2eservice"
    )


def test_bits_of_now_are_looked_at_once_a_second_and_told_once(tmp_path: Path) -> None:
    file = tmp_path / "get_throttled"
    file.write_text("50004\n")
    throttling = meters.Throttling(str(file), ())
    assert throttling.look() == throttling.EVERY_S
    file.write_text("50000\n")
    assert 0 < throttling.look() <= throttling.EVERY_S
    assert throttling.bits() == "50000"
    assert throttling.seen() == "4"
    assert throttling.seen() == "0"


def test_a_machine_without_such_a_firmware_is_not_looked_at(tmp_path: Path) -> None:
    throttling = meters.Throttling(str(tmp_path / "nothing"), ())
    assert (throttling.look(), throttling.seen(), throttling.bits()) == (None, None, None)


@pytest.mark.parametrize(
    ("says", "bits"),
    [
        ("echo throttled=0x50000", "0x50000"),
        ("echo throttled=0x0", "0x0"),
        ("echo error=1 error_msg=; exit 1", "4"),
        ("echo VCHI initialization failed; exit 255", "4"),
    ],
)
def test_what_the_firmware_remembers_goes_before_the_kernels_file(
    tmp_path: Path, says: str, bits: str
) -> None:
    """The kernel's file forgets within seconds."""
    (file := tmp_path / "get_throttled").write_text("4\n")
    (program := tmp_path / "vcgencmd").write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    assert meters.Throttling(str(file), (str(program),)).bits() == bits


@pytest.mark.parametrize(
    ("flags", "is_guest"), [("flags\t: fpu hypervisor\n", True), ("flags\t: fpu vmx\n", False)]
)
def test_a_virtual_machine_is_told_by_its_processor(
    tmp_path: Path, flags: str, *, is_guest: bool
) -> None:
    (told := tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}")
    assert node.is_guest(str(told)) is is_guest


def test_only_a_device_that_this_system_drives_has_a_speed(tmp_path: Path) -> None:
    for name, driver, speed in (
        ("eth0", "bcmgenet", "1000"),
        ("lent0", "hv_netvsc", "10000"),
        ("veth0", None, "10000"),
        ("down0", "igb", "-1"),
    ):
        (tmp_path / name / "device").mkdir(parents=True)
        (tmp_path / name / "speed").write_text(f"{speed}\n")
        if driver:
            (drivers := tmp_path / "drivers" / driver).mkdir(parents=True)
            (tmp_path / name / "device" / "driver").symlink_to(drivers)
    (tmp_path / "br0").mkdir()
    (tmp_path / "br0" / "lower_eth0").symlink_to("../eth0")
    names = ("eth0", "br0", "lent0", "veth0", "down0")
    told = {name: node.link_mbit(name, str(tmp_path)) for name in names}
    assert told == {"eth0": "1000", "br0": "1000", "lent0": None, "veth0": None, "down0": None}
