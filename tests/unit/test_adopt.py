"""`fab adopt` against SSH servers on the loopback address: keys, logins, what is written."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import paramiko
import pytest
import yaml

from core.errors import HerdError
from experiments.adopt.run import Adopted, adopt
from tests.doubles.bare_machine import BareMachine, bare_machine

PROJECT = Path(__file__).resolve().parents[2]
FLEET, KNOWN = "inventory/fleet.yml", "inventory/known_hosts"


class Person:
    """Somebody who reads along and answers."""

    def __init__(self, answer: bool | None) -> None:  # noqa: FBT001 - the one thing of them
        self.answer = answer
        self.read = ""

    def say(self, text: str) -> None:
        self.read += f"{text}\n"

    def confirm(self, question: str) -> bool | None:
        self.read += f"{question}\n"
        return self.answer


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout as it is at first, and a user with a key."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    keys = tmp_path / "home" / ".ssh"
    keys.mkdir(parents=True)
    key = paramiko.RSAKey.generate(2048)
    key.write_private_key_file(str(keys / "id_rsa"))
    (keys / "id_rsa.pub").write_text(f"ssh-rsa {key.get_base64()}\n")
    made = tmp_path / "project"
    (made / "inventory" / "group_vars").mkdir(parents=True)
    for name in ("ansible.cfg", "inventory/group_vars/all.yml"):
        shutil.copy(PROJECT / name, made / name)
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def machines() -> Iterator[list[BareMachine]]:
    """Three, with addresses of their own."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(bare_machine(address=f"192.0.2.{number}"))
            for number in (11, 12, 13)
        ]


def word(machine: BareMachine, user: str = "pi") -> str:
    return f"{user}@127.0.0.1:{machine.port}"


def fingerprint(machine: BareMachine) -> str:
    digest = hashlib.sha256(machine.key.asbytes()).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def adopted(
    project: Path,
    person: Person,
    *words: str,
    trusted: tuple[str, ...] = (),
    inventory: str = FLEET,
) -> Adopted:
    key = str(Path.home() / ".ssh" / "id_rsa")
    return adopt(project, words, inventory, person, fingerprints=trusted, key=key)


def hosts(project: Path) -> dict[str, dict[str, object]]:
    content = yaml.safe_load((project / FLEET).read_text())
    told: dict[str, dict[str, object]] = content["all"]["children"]["cluster"]["hosts"]
    return told


def test_machines_that_nobody_knew_become_nodes(project: Path, machines: list[BareMachine]) -> None:
    person = Person(answer=True)

    came = adopted(project, person, *map(word, machines))

    assert came == Adopted(("pi1", "pi2", "pi3"), is_all=True, nodes=3)
    assert hosts(project)["pi2"] == {
        "ansible_host": "127.0.0.1",
        "ansible_port": machines[1].port,
        "ansible_user": "pi",
        "ansible_ssh_private_key_file": str(Path.home() / ".ssh" / "id_rsa"),
        # Nobody else reaches it by 127.0.0.1; this is the address that SSH came to.
        "herd_cluster_address": "192.0.2.12",
    }
    lines = "".join(machine.line() for machine in machines)
    assert (project / KNOWN).read_text() == lines
    for machine in machines:
        assert f"{fingerprint(machine)} (ECDSA)" in person.read
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ecdsa_key.pub" in person.read
    assert person.read.index("ansible_user: pi") < person.read.index("Trust these keys? [y/N]")

    again = Person(answer=None)
    assert adopted(project, again, *map(word, machines)) == came
    assert (project / KNOWN).read_text() == lines
    assert "nothing to add" in again.read


@pytest.mark.parametrize("answer", [None, False])
def test_nothing_is_written_and_nobody_logs_in_before_the_keys_are_confirmed(
    project: Path,
    machines: list[BareMachine],
    answer: bool | None,  # noqa: FBT001
) -> None:
    with pytest.raises(HerdError, match="nothing was written") as refused:
        adopted(project, Person(answer), word(machines[0]))

    assert sorted(path.name for path in (project / "inventory").iterdir()) == ["group_vars"]
    assert machines[0].seen == []
    if answer is None:
        assert f"--fingerprint {fingerprint(machines[0])}" in str(refused.value)


def test_fingerprints_that_were_given_stand_for_the_question(
    project: Path, machines: list[BareMachine]
) -> None:
    person = Person(answer=None)
    line = f"256 {fingerprint(machines[1])} root@pi (ECDSA)"
    other = "SHA256:" + "A" * 43

    came = adopted(
        project, person, *map(word, machines), trusted=(fingerprint(machines[0]), line, other)
    )

    assert came == Adopted(("pi1", "pi2"), is_all=False, nodes=2)
    assert list(hosts(project)) == ["pi1", "pi2"]
    assert f"{word(machines[2])}: its host key is {fingerprint(machines[2])}" in person.read
    assert f"{other}: no new machine has this key" in person.read
    assert machines[2].seen == []
    with pytest.raises(HerdError, match="SHA256: and 43 characters"):
        adopted(project, person, word(machines[0]), trusted=("MD5:aa:bb",))


def test_the_key_of_another_type_that_was_given_is_asked_for(
    project: Path, machines: list[BareMachine]
) -> None:
    rsa = paramiko.RSAKey.generate(2048)
    machines[0].other_key = rsa
    digest = base64.b64encode(hashlib.sha256(rsa.asbytes()).digest()).decode().rstrip("=")

    adopted(project, Person(answer=None), word(machines[0]), trusted=(f"SHA256:{digest}",))

    assert (project / KNOWN).read_text().split()[1:] == ["ssh-rsa", rsa.get_base64()]


def test_a_key_that_changed_is_refused_and_the_others_go_on(
    project: Path, machines: list[BareMachine]
) -> None:
    other = paramiko.ECDSAKey.generate()
    line = f"[127.0.0.1]:{machines[0].port} ecdsa-sha2-nistp256 {other.get_base64()}\n"
    (project / KNOWN).write_text(f"# mine\n{line}")
    person = Person(answer=True)

    came = adopted(project, person, *map(word, machines[:2]))

    assert came == Adopted(("pi2",), is_all=False, nodes=1)
    assert f"{word(machines[0])}: REFUSED. Its host key is not the one in line 2 of" in person.read
    forget = f"ssh-keygen -R '[127.0.0.1]:{machines[0].port}' -f {KNOWN}"
    assert re.search(rf"{re.escape(forget)} && \S*fab adopt {word(machines[0])} --key", person.read)
    assert "pi2 is the root now" in person.read
    assert (project / KNOWN).read_text() == f"# mine\n{line}{machines[1].line()}"
    assert machines[0].seen == []


KNOWN_TABLE = {
    "no end of line": (b"# mine\n@revoked * ssh-ed25519 AAAA", b"\n"),
    "CRLF": (b"# mine\r\nother ssh-ed25519 AAAA\r\n", b"\r\n"),
    "damaged": (b"\xff\xfe nonsense\n\n", b"\n"),
}


@pytest.mark.parametrize(("before", "feed"), KNOWN_TABLE.values(), ids=KNOWN_TABLE)
def test_known_hosts_stay_as_people_wrote_them(
    project: Path, machines: list[BareMachine], before: bytes, feed: bytes
) -> None:
    (project / KNOWN).write_bytes(before)

    adopted(project, Person(answer=True), word(machines[0]))

    ended = before if before.endswith(b"\n") else before + feed
    line = machines[0].line().encode().replace(b"\n", feed)
    assert (project / KNOWN).read_bytes() == ended + line


def test_names_are_hashed_where_they_were(project: Path, machines: list[BareMachine]) -> None:
    hashed = paramiko.HostKeys.hash_host(f"[127.0.0.1]:{machines[0].port}")
    (project / KNOWN).write_text(f"{hashed} ecdsa-sha2-nistp256 {machines[0].key.get_base64()}\n")

    person = Person(answer=True)
    adopted(project, person, *map(word, machines[:2]))

    assert "already known" in person.read
    _, second = (project / KNOWN).read_text().splitlines()
    assert second.startswith("|1|")
    assert second.endswith(machines[1].key.get_base64())
    assert list(hosts(project)) == ["pi1", "pi2"]


def test_a_machine_under_another_address_is_known_again(
    project: Path, machines: list[BareMachine]
) -> None:
    adopted(project, Person(answer=True), word(machines[0]))
    with bare_machine(key=machines[0].key) as moved, bare_machine(key=moved.key) as copied:
        person = Person(answer=True)
        with pytest.raises(HerdError, match="There are no machines left"):
            adopted(project, person, word(moved))
        assert "it has the host key of pi1, which the inventory lists at 127.0.0.1" in person.read
        assert "ssh-keygen -A" in person.read

        text = (project / FLEET).read_text()
        (project / FLEET).write_text(text.replace(str(machines[0].port), str(moved.port)))
        assert adopted(project, Person(answer=True), word(moved)).names == ("pi1",)
        assert moved.line() in (project / KNOWN).read_text()

        (project / FLEET).unlink()
        (project / KNOWN).unlink()
        person = Person(answer=True)
        assert adopted(project, person, word(moved), word(copied)).names == ("pi1",)
        assert f"it has the same host key as {word(moved)}" in person.read


def test_whoever_is_not_let_in_is_told_how_and_not_written(
    project: Path, machines: list[BareMachine]
) -> None:
    machines[0].lets_in = machines[1].lets_in = False
    machines[1].ways = "publickey"
    person = Person(answer=True)

    came = adopted(project, person, *map(word, machines))

    assert came == Adopted(("pi3",), is_all=False, nodes=1)
    key = Path.home() / ".ssh" / "id_rsa.pub"
    assert (
        f"→ ssh-copy-id -i {key} -o UserKnownHostsFile={KNOWN} -p {machines[0].port} pi@127.0.0.1\n"
        in person.read
    )
    assert "It does not accept a password either" in person.read
    assert "pi3 is the root now" in person.read
    assert "When that is fixed: fab adopt" in re.sub(r"\S*/fab", "fab", person.read)


def test_a_key_without_its_public_half_or_none_at_all_is_made_first(
    project: Path, machines: list[BareMachine]
) -> None:
    machines[0].lets_in = False
    (Path.home() / ".ssh" / "id_rsa.pub").unlink()
    key, person = Path.home() / ".ssh" / "id_rsa", Person(answer=True)

    with pytest.raises(HerdError, match="There are no machines left"):
        adopted(project, person, word(machines[0]))
    assert f"→ ssh-keygen -y -f {key} >{key}.pub && ssh-copy-id -i {key}.pub -o" in person.read

    with pytest.raises(HerdError, match="There are no machines left"):
        adopt(project, [word(machines[0])], FLEET, person)
    assert "→ ssh-keygen -t ed25519 && ssh-copy-id -o UserKnownHostsFile" in person.read


def test_what_runs_no_linux_is_no_node(project: Path, machines: list[BareMachine]) -> None:
    machines[0].says, machines[0].ends = b"'sh' is not recognized\r\n", 1
    machines[1].says = b"llama-herd-adopt kernel Darwin 23\nllama-herd-adopt end .\n"
    person = Person(answer=True)

    adopted(project, person, *map(word, machines))

    assert list(hosts(project)) == ["pi3"]
    assert "cannot run `sh`" in person.read
    assert "it runs Darwin 23" in person.read


def test_what_a_machine_is_decides_its_groups(project: Path, machines: list[BareMachine]) -> None:
    told = (
        b"Last login: today\nllama-herd-adopt kernel Linux 6.6.87.2-microsoft-standard-WSL2\n"
        b"llama-herd-adopt board Raspberry Pi 5 Model B Rev 1.0\n"
        b"llama-herd-adopt reached 192.0.2.1 1 192.0.2.11 22\nllama-herd-adopt end .\n"
    )
    machines[0].says = told

    adopted(project, Person(answer=True), word(machines[0]))

    children = yaml.safe_load((project / FLEET).read_text())["all"]["children"]
    assert list(children["raspberry_pis"]["hosts"]) == ["pi1"]
    assert list(children["wsl_guests"]["hosts"]) == ["pi1"]


def told(*lines: str) -> bytes:
    return "".join(f"llama-herd-adopt {line}\n" for line in lines).encode()


@pytest.mark.parametrize(
    "said",
    [
        b"\x1b[2J" + told("kernel \x1b]0;x\x07", "end ."),
        told("kernel Linux 6", "reached a b ../../x 22", "end ."),
        told("kernel Linux 6", "reached a b 127.0.0.1 22", "addresses 224.0.0.1 {{x}}", "end ."),
        b"\xff" * 100_000,
        b"",
    ],
)
def test_a_machine_may_say_anything(
    project: Path, machines: list[BareMachine], said: bytes
) -> None:
    machines[0].banner = "\x1b[31mpi@127.0.0.1: Permission denied (password).\n"
    machines[0].says = said
    person = Person(answer=True)

    with pytest.raises(HerdError, match="There are no machines left"):
        adopted(project, person, word(machines[0]))

    assert "\x1b" not in person.read
    assert not (project / FLEET).exists()


def test_of_several_addresses_the_person_chooses(
    project: Path, machines: list[BareMachine]
) -> None:
    machines[0].says = told(
        "kernel Linux 6", "reached ::1 1 ::1 22", "addresses 192.0.2.7 10.0.0.7 fe80::1", "end ."
    )
    person = Person(answer=True)

    adopted(project, person, *map(word, machines[:2]))

    assert list(hosts(project)) == ["pi2"]
    assert "→ Adopt it by one of its addresses: 192.0.2.7, 10.0.0.7." in person.read


def test_the_controller_as_a_node_has_no_key_to_confirm(project: Path) -> None:
    before = "cluster:\n  hosts:\n    desk:\n      ansible_connection: local\n"
    (project / FLEET).write_text(before)

    assert adopted(project, Person(answer=None), "desk").names == ("desk",)
    assert (project / FLEET).read_text() == before


def test_machines_are_appended_and_the_root_stays(
    project: Path, machines: list[BareMachine]
) -> None:
    before = (
        "# ours\ncluster:\n  hosts:\n    desk:  # the root\n      ansible_host: 192.0.2.20\n"
        "  vars:\n    ansible_user: 'pi'\n"
    )
    (project / FLEET).write_text(before)
    person = Person(answer=True)

    came = adopted(project, person, f"desk2=127.0.0.1:{machines[0].port}", word(machines[1]))

    assert came == Adopted(("desk2", "pi1"), is_all=True, nodes=3)
    after = (project / FLEET).read_text()
    assert list(yaml.safe_load(after)["cluster"]["hosts"]) == ["desk", "desk2", "pi1"]
    assert [line for line in before.splitlines() if line not in after.splitlines()] == []
    assert machines[0].seen[0] == "login pi", "as the inventory has it for the group"
    assert "  +    desk2:" in person.read


def test_what_the_inventory_says_of_a_machine_counts(
    project: Path, machines: list[BareMachine]
) -> None:
    adopted(project, Person(answer=True), word(machines[0]))
    before = (project / FLEET).read_text()
    person = Person(answer=None)

    came = adopt(project, [f"desk={word(machines[0], 'ada')}"], FLEET, person)

    assert (came.names, came.is_all) == (("pi1",), True)
    assert (
        "the inventory has it as pi1; change ansible_user and the name there yourself"
    ) in person.read
    assert (project / FLEET).read_text() == before

    elsewhere = {"ansible_host": "127.0.0.1", "ansible_port": machines[1].port}
    spare = yaml.safe_dump({"spare": {"hosts": {"s1": elsewhere}}})
    (project / FLEET).write_text(f"{before}{spare}")
    with pytest.raises(HerdError, match="has it as s1, but not in group cluster"):
        adopted(project, person, word(machines[1]))


def test_an_alias_of_the_ssh_configuration_is_a_machine(
    project: Path, machines: list[BareMachine]
) -> None:
    config = f"Host shed\n  HostName 127.0.0.1\n  Port {machines[0].port}\n  User ada\n"
    (Path.home() / ".ssh" / "config").write_text(config)

    adopted(project, Person(answer=True), "shed")

    assert hosts(project)["shed"]["ansible_host"] == "shed"
    assert hosts(project)["shed"]["herd_cluster_address"] == "192.0.2.11"
    assert machines[0].seen[0] == "login ada"


def test_a_machine_that_is_off_is_named(project: Path, machines: list[BareMachine]) -> None:
    with bare_machine() as gone:
        off = word(gone)
    person = Person(answer=True)

    came = adopted(project, person, off, word(machines[0]))

    assert came.names == ("pi2",)
    assert f"{off}: it presents no host key. Connecting to pi1 (pi@127.0.0.1 port" in person.read
    assert "Connection refused" in person.read
    assert "ansible pi1" not in person.read, "the inventory has no pi1 that it could try"


def test_nobody_logs_in_where_another_key_is_shown_once_the_first_was_confirmed(
    project: Path, machines: list[BareMachine]
) -> None:
    confirmed = machines[0].line()

    class Late(Person):
        def confirm(self, question: str) -> bool | None:
            machines[0].key = paramiko.ECDSAKey.generate()
            return super().confirm(question)

    person = Late(answer=True)
    with pytest.raises(HerdError, match="There are no machines left"):
        adopted(project, person, word(machines[0]))

    assert f"its host key is not the one in {KNOWN}" in person.read.replace(f"{project}/", "")
    assert (project / KNOWN).read_text() == confirmed
    assert not (project / FLEET).exists()
    assert machines[0].seen == []


def test_a_key_that_was_revoked_is_not_trusted(project: Path, machines: list[BareMachine]) -> None:
    revoked = f"@revoked * ecdsa-sha2-nistp256 {machines[0].key.get_base64()}\n"
    (project / KNOWN).write_text(revoked)
    person = Person(answer=True)

    with pytest.raises(HerdError, match="There are no machines left"):
        adopted(project, person, word(machines[0]))

    assert f"its host key is marked as revoked in {KNOWN}" in person.read
    assert (project / KNOWN).read_text() == revoked


def test_a_machine_behind_a_jump_host_is_adopted_where_the_jump_host_is_known(
    project: Path, machines: list[BareMachine]
) -> None:
    jump, node = machines[:2]
    config = (
        f"Host shed\n  HostName 127.0.0.1\n  Port {node.port}\n  User pi\n"
        f"  ProxyJump ada@127.0.0.1:{jump.port}\n"
        f"Host 127.0.0.1\n  IdentityFile {Path.home()}/.ssh/id_rsa\n"
    )
    (Path.home() / ".ssh" / "config").write_text(config)
    person = Person(answer=True)

    with pytest.raises(HerdError, match="There are no machines left"):
        adopted(project, person, "shed")
    assert "through its jump host 127.0.0.1" in person.read
    assert "its host key is not in" in person.read
    assert (jump.seen, node.seen) == ([], [])

    (Path.home() / ".ssh" / "known_hosts").write_text(jump.line())
    assert adopted(project, Person(answer=True), "shed").names == ("shed",)
    assert (project / KNOWN).read_text() == node.line()
    assert hosts(project)["shed"]["herd_cluster_address"] == "192.0.2.12"


def test_a_key_with_a_passphrase_that_no_agent_has_is_named(
    project: Path, machines: list[BareMachine]
) -> None:
    key = Path.home() / ".ssh" / "id_rsa"
    paramiko.RSAKey.generate(2048).write_private_key_file(str(key), password="alpaca")  # noqa: S106
    person = Person(answer=True)

    with pytest.raises(HerdError, match="There are no machines left"):
        adopted(project, person, word(machines[0]))

    assert f"ssh-add {key}" in person.read
    assert "ssh-copy-id" not in person.read
