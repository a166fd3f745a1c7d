"""A program that is talked to: noise, floods, ends, kills, and nothing of it left."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from experiments.fleet.cluster import Node
from experiments.nodes.launcher import NodeLostError, Request, ask
from experiments.nodes.ssh.channel import MARK, Channel, SilentError
from experiments.nodes.ssh.launcher import SshConversation, SshLauncher

HERE = Node("here", "127.0.0.1", "127.0.0.1", connection="local")
SOON_S = 20.0


def started(program: str, *, is_killed: bool = True) -> Channel:
    channel = Channel(("/bin/sh", "-c", program), Path("/"), os.environ, is_killed=is_killed)
    channel.settimeout(SOON_S)
    return channel


def spoken(program: str) -> Channel:
    channel = started(program)
    channel.await_mark(SOON_S)
    return channel


def all_of(channel: Channel) -> bytes:
    said = b""
    while piece := channel.recv(1000):
        said += piece
    return said


@pytest.mark.parametrize("noise", ["", "Welcome!\n", "no end of line", f"{MARK} \n", "x" * 9000])
def test_what_a_login_shell_prints_comes_before_the_mark(noise: str) -> None:
    channel = spoken(f"printf %s '{noise}'; echo {MARK}; printf 'and\\nmore'; cat")

    channel.sendall(b"!")
    channel.shutdown_write()
    assert all_of(channel) == b"and\nmore!"
    assert channel.status() == 0
    channel.close()


def test_a_flood_on_standard_error_stops_nothing_and_its_end_is_kept() -> None:
    flood = "i=0; while [ $i -lt 9000 ]; do echo line $i is long enough >&2; i=$((i+1)); done"
    channel = spoken(f"{flood}; echo {MARK}; {flood}; echo out")

    assert all_of(channel) == b"out\n"
    assert channel.last_said() == "line 8999 is long enough"
    assert len(channel.said()) < 20_000
    channel.close()


@pytest.mark.parametrize(
    ("program", "told", "let_in"),
    [
        ("echo no such account; exit 1", r"status 1 \(no such account\)", True),
        ("echo out; echo err >&2; exit 3", r"status 3 \(err\)", True),
        (f"echo '{MARK}; exec python3 -c x'", "a Windows shell", True),
        (f"printf '{MARK}\\r\\n'; exit 1", "a Windows shell", True),
        ("exit 255", "it ended", False),
        ("kill -9 $$", "it ended", False),
        ("yes", "did not stop printing", True),
        ("sleep 60", "nothing came for 1 s", False),
    ],
)
def test_who_does_not_say_the_mark_is_told_why(program: str, told: str, *, let_in: bool) -> None:
    channel = started(program)
    with pytest.raises(SilentError, match=told) as caught:
        channel.await_mark(1.0 if "sleep" in program else SOON_S)
    assert caught.value.let_in is let_in
    channel.close()


def test_it_has_a_session_of_its_own_and_no_terminal() -> None:
    channel = spoken(f"echo {MARK}; (echo asked >/dev/tty) 2>/dev/null || echo $$; cat")
    leader = int(channel.recv(100))

    assert os.getsid(leader) == leader != os.getsid(0)
    channel.close()


def test_all_that_it_started_ends_with_it_at_once() -> None:
    channel = spoken(f"sleep 300 & echo {MARK}; echo $! $$; wait")
    child, own = map(int, channel.recv(100).split())
    begun = time.monotonic()

    channel.close()
    channel.close()

    assert time.monotonic() - begun < 5
    assert not Path(f"/proc/{own}").exists(), "not even as a zombie"
    deadline = time.monotonic() + SOON_S
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether it runs: whom nobody waits for stays as a zombie."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_wait_ends_when_another_thread_closes_it() -> None:
    channel = spoken(f"echo {MARK}; sleep 300")
    threading.Timer(0.3, channel.close).start()
    begun = time.monotonic()

    with suppress(OSError):
        assert channel.recv(10) == b""
    assert time.monotonic() - begun < SOON_S / 2


def test_what_must_not_be_killed_ends_by_itself(tmp_path: Path) -> None:
    channel = started(f"cat; sleep 0.3; touch {tmp_path}/done", is_killed=False)

    channel.close()

    assert (tmp_path / "done").exists()


def test_this_machine_is_a_node_without_ssh(tmp_path: Path) -> None:
    launcher = SshLauncher(tmp_path)
    channel = launcher.run(HERE, "cat")
    channel.settimeout(SOON_S)
    channel.sendall(b"hello")
    assert channel.recv(10) == b"hello"
    launcher.close()


def test_a_helper_that_does_not_start_is_provisioned(tmp_path: Path) -> None:
    (tmp_path / "sudo").write_text("#!/bin/sh\necho 'sudo: 비밀번호가 필요합니다' >&2; exit 1\n")
    (tmp_path / "sudo").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        link = SshLauncher(tmp_path).open(HERE)
        with pytest.raises(NodeLostError, match=r"the helper on here failed \(sudo: .*provision"):
            ask(link, Request("facts"))
    link.close(0.0)


def test_a_link_whose_program_is_killed_is_lost() -> None:
    channel = spoken(f"echo {MARK}; echo $$ >&2; exec sleep 60")
    link = SshConversation(HERE, channel)
    link.send(Request("facts"))
    os.kill(int(channel.last_said()), 9)

    with pytest.raises(NodeLostError, match="the connection to here was lost"):
        link.poll(SOON_S)
    link.close(5.0)
