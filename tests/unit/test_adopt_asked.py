"""Machines as they are written on the command line, and the names that they get."""

from __future__ import annotations

import pytest

from core.errors import HerdError
from experiments.adopt.asked import Asked, name_nodes, read_words


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("192.0.2.11", ("192.0.2.11", None, None, None)),
        ("pi@192.0.2.11", ("192.0.2.11", "pi", None, None)),
        ("pi@192.0.2.11:2222", ("192.0.2.11", "pi", 2222, None)),
        ("pi3.local", ("pi3.local", None, None, None)),
        ("ssh://pi@pi3.local:23/", ("pi3.local", "pi", 23, None)),
        ("SSH://pi3", ("pi3", None, None, None)),
        ("2001:db8::1", ("2001:db8::1", None, None, None)),
        ("pi@2001:db8::1", ("2001:db8::1", "pi", None, None)),
        ("pi@[2001:db8::1]", ("2001:db8::1", "pi", None, None)),
        ("ssh://pi@[fe80::1%eth0]:22", ("fe80::1%eth0", "pi", 22, None)),
        ("desk=alice@desk.example.org:2222", ("desk.example.org", "alice", 2222, "desk")),
        ("desk=192.0.2.20", ("192.0.2.20", None, None, "desk")),
        ("alice@corp.example@desk", ("desk", "alice@corp.example", None, None)),
        ("my_alias", ("my_alias", None, None, None)),
    ],
)
def test_what_ssh_takes_is_taken(
    word: str, told: tuple[str, str | None, int | None, str | None]
) -> None:
    (one,) = read_words([word])

    assert (one.host, one.user, one.port, one.name) == told


def test_a_range_stands_for_a_machine_each() -> None:
    assert [one.host for one in read_words(["pi@192.0.2.[9:11]"])] == [
        "192.0.2.9",
        "192.0.2.10",
        "192.0.2.11",
    ]
    ranged = read_words(["pi@rack[01:03].local:23"])
    assert [one.host for one in ranged] == ["rack01.local", "rack02.local", "rack03.local"]
    assert {one.port for one in ranged} == {23}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "Which machines"),
        (["-oProxyCommand=x"], "cannot be the name of a node"),
        (["-oProxyCommand"], "neither a host name nor an address"),
        (["pi@-oProxyCommand"], "neither a host name nor an address"),
        (["-l@192.0.2.1"], "is not a user name"),
        (["pi@192.0.2.11:0"], "not a port"),
        (["pi@192.0.2.11:65536"], "not a port"),
        (["pi@192.0.2.11:+22"], "not a port"),
        (["pi@192.0.2.11:99999999999999999999"], "not a port"),
        (["pi@192.0.2.11:"], "not a port"),
        (["pi@192.0.2.256"], "neither a host name nor an address"),
        (["192.0.2"], "neither a host name nor an address"),
        (["pi@[::1"], "brackets"),
        (["pi@[192.0.2.1]:22"], "not an IPv6 address"),
        (["pi@[::1]22"], "brackets"),
        (["@192.0.2.1"], "is not a user name"),
        (["pi@"], "neither a host name nor an address"),
        ([""], "neither a host name nor an address"),
        (["pi@a b"], "neither a host name nor an address"),
        (["pi@192.0.2.1\n"], "neither a host name nor an address"),
        (["pi\n@192.0.2.1"], "is not a user name"),
        (["pi@\x1b[2J"], "x1b"),
        (["https://192.0.2.1"], "is not SSH"),
        (["pi:raspberry@192.0.2.1"], "leave out the password"),
        (["all=pi@192.0.2.1"], "cannot be the name"),
        (["../x=192.0.2.1"], "neither a host name nor an address"),
        (["=pi@192.0.2.1"], "cannot be the name"),
        (["192.0.2.1", "pi@192.0.2.1"], "given twice"),
        (["192.0.2.1", "b=pi@192.0.2.1:22"], "given twice"),
        (["a=192.0.2.1", "a=192.0.2.2"], "the same name"),
        (["pi@192.0.2.[9:3]"], "is not a range"),
        (["pi@10.[0:99999].0.1"], "is not a range"),
        (["n[1:1000]", "m[1:1000]"], "at once"),
    ],
)
def test_what_is_none_is_refused_by_name(words: list[str], why: str) -> None:
    with pytest.raises(HerdError, match=why) as refused:
        read_words(words)

    assert "\x1b" not in str(refused.value)
    assert "raspberry" not in str(refused.value)


def named(*words: str, taken: tuple[str, ...] = ()) -> list[str]:
    return name_nodes(read_words(words), taken)


def test_names_are_known_before_a_machine_is_asked() -> None:
    assert named("pi@192.0.2.11", "pi@192.0.2.12") == ["pi1", "pi2"]
    assert named("alice@192.0.2.11", "pi@2001:db8::1", "192.0.2.5") == ["node1", "pi1", "node2"]
    assert named("pi@pi3.local", "desk.example.org", "x=pi@192.0.2.1") == ["pi3", "desk", "x"]


def test_a_name_that_is_taken_is_not_given_again() -> None:
    assert named("pi@192.0.2.13", taken=("pi1", "pi3")) == ["pi2"]
    assert named("a.one", "a.two", taken=("cluster",)) == ["a", "a1"]
    assert named("pi@192.0.2.1", "pi1=192.0.2.2") == ["pi2", "pi1"]
    assert named("localhost", "all.local") == ["localhost1", "all1"]
    with pytest.raises(HerdError, match="already has a desk"):
        name_nodes([Asked("desk=x", "x", name="desk")], ("desk",))
