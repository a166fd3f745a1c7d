"""Whatever surrounds fab, Ansible works for it, and what Ansible says is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import HerdError
from experiments.fleet.inventory import read_cluster
from experiments.fleet.programs import ansible_environment, ask_ansible, said_by_ansible
from tests.doubles.on_terminal import on_terminal

PROJECT = Path(__file__).resolve().parents[2]
PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))
VAULT = str(Path(sys.executable).with_name("ansible-vault"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "ansible.cfg").write_text(
        "[defaults]\ninventory = own.ini\nremote_user = ofproject\n"
    )
    (tmp_path / "own.ini").write_text("[cluster]\na ansible_host=192.0.2.1\n")
    return tmp_path


def test_settings_are_the_projects_where_everybody_may_write(project: Path) -> None:
    project.chmod(0o777)  # as each folder below /mnt/c is; Ansible passes over an ansible.cfg there

    assert read_cluster(project).root.user == "ofproject"


@pytest.mark.parametrize(
    "surroundings",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "ko_KR.EUC-KR"},
        {"LANG": "xx_YY.UTF-8", "LC_CTYPE": "xx_YY.UTF-8"},  # not installed here
        {"ANSIBLE_STDOUT_CALLBACK": "minimal", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1"},
        {"ANSIBLE_DEBUG": "1", "ANSIBLE_VERBOSITY": "4"},
        {"ANSIBLE_FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"},
        {"ANSIBLE_DISPLAY_TRACEBACK": "always"},
        {"ANSIBLE_GATHERING": "explicit", "ANSIBLE_RUN_TAGS": "none"},
        {"ANSIBLE_PLAYBOOK_DIR": "/nowhere"},
        {"PYTHONIOENCODING": "latin-1", "PYTHONWARNINGS": "always", "COLUMNS": "20"},
    ],
)
def test_the_answer_is_the_same_in_any_environment(
    project: Path, surroundings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)

    (node,) = read_cluster(project).nodes

    assert (node.name, node.user) == ("a", "ofproject")


def test_tags_in_the_environment_do_not_make_half_a_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_RUN_TAGS", "facts")
    monkeypatch.setenv("ANSIBLE_SKIP_TAGS", "always")

    assert not {"ANSIBLE_RUN_TAGS", "ANSIBLE_SKIP_TAGS"} & ansible_environment(PROJECT).keys()


def test_an_ansible_cfg_of_the_users_own_counts_and_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = project / "mine.cfg"
    own.write_text(f"[defaults]\ninventory = {project}/own.ini\nremote_user = ofmine\n")
    monkeypatch.chdir(project)
    monkeypatch.setenv("ANSIBLE_CONFIG", "mine.cfg")
    assert read_cluster(project).root.user == "ofmine"

    own.write_text("[defaults]\n")
    with pytest.raises(HerdError, match=r"ANSIBLE_CONFIG is mine\.cfg, so the project's"):
        read_cluster(project)

    monkeypatch.setenv("ANSIBLE_CONFIG", "elsewhere.cfg")
    with pytest.raises(HerdError, match=r"elsewhere\.cfg, which does not exist.*unset ANSIBLE_"):
        read_cluster(project)


def encrypted(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("ansible_user: grace\n")
    argv = [VAULT, "encrypt", "--vault-password-file", "/dev/stdin", str(path)]
    subprocess.run(argv, input="alpaca", text=True, check=True, capture_output=True)


def test_what_is_encrypted_for_other_hosts_needs_no_password(project: Path) -> None:
    with (project / "own.ini").open("a") as hosts:
        hosts.write("[windows_hosts]\nlaptop ansible_host=192.0.2.30\n")
    encrypted(project / "host_vars" / "laptop" / "vault.yml")
    encrypted(project / "group_vars" / "windows_hosts.yml")

    assert [node.name for node in read_cluster(project).nodes] == ["a"]


@pytest.mark.parametrize("place", ["host_vars/a.yml", "group_vars/all/vault.yml", "own.yml"])
def test_a_missing_password_of_a_vault_names_the_remedies_and_they_work(
    project: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = "own.yml" if place == "own.yml" else None
    if inventory:
        (project / place).write_text("cluster: {hosts: {a: {ansible_user: grace}}}")
        argv = [VAULT, "encrypt", "--vault-password-file", "/dev/stdin", str(project / place)]
        subprocess.run(argv, input="alpaca", text=True, check=True, capture_output=True)
    else:
        encrypted(project / place)

    with pytest.raises(HerdError) as caught:
        read_cluster(project, inventory)
    for remedy in ("ANSIBLE_VAULT_PASSWORD_FILE", "vault_password_file", "ANSIBLE_ASK_VAULT_PASS"):
        assert remedy in str(caught.value)

    (project / "password").write_text("alpaca\n")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(project / "password"))
    assert read_cluster(project, inventory, must_resolve=False).root.user == "grace"


READS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from experiments.fleet.inventory import read_cluster
print(read_cluster(Path(sys.argv[1])).root.user)
"""


def test_the_password_of_a_vault_is_asked_for_on_the_terminal(project: Path) -> None:
    encrypted(project / "host_vars" / "a.yml")

    said = on_terminal(
        [sys.executable, "-c", READS, str(project), str(PROJECT)],
        project,
        asked=b"Vault password: ",
        typed=b"alpaca\n",
        environment={"ANSIBLE_ASK_VAULT_PASS": "true"},
    )

    assert said.split() == ["Vault", "password:", "grace"]


def test_warnings_are_kept_for_the_message_without_what_lines_hold(project: Path) -> None:
    (project / "own.yml").write_text("cluster:\n  hosts:\n    a: {x: [1}\n    b: {pass: hunter2}\n")

    with pytest.raises(HerdError) as caught:
        read_cluster(project, "own.yml")

    assert "YAML parsing failed" in str(caught.value)
    assert "own.yml:3:" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_warnings_are_told_although_the_inventory_can_be_read(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = "    a: {ansible_host: 192.0.2.1}\n    a: {ansible_host: 192.0.2.2}\n"
    (project / "own.yml").write_text(f"cluster:\n  hosts:\n{hosts}")

    assert read_cluster(project, "own.yml").root.address == "192.0.2.2"
    assert "Ansible says: " in (told := capsys.readouterr().err)
    assert "uplicate" in told
    read_cluster(project)
    assert capsys.readouterr().err == ""


def test_what_ansible_says_is_short_and_each_thing_is_said_once() -> None:
    warning = "[WARNING]: Something is odd\n\nSomething is odd\n\n<<< caused by >>>\n\nIt is.\n"
    shown = (
        "Origin: /x/hosts.yml:4:25\n\n4     b: {ansible_password: hunter2}\n        ^ column 25\n"
    )
    error = "[ERROR]: Expected key=value, got: horse\n"

    said = said_by_ansible(f"{warning}{shown}\n{warning}{error}{'[WARNING]: ' + 'x' * 999}\n" * 9)

    assert said.startswith("Expected key=value. Something is odd (/x/hosts.yml:4:25). ")
    assert "hunter2" not in said
    assert "horse" not in said
    assert len(said) < 1300


def test_an_ansible_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match=r"Reading: .*nothing is not installed. `make setup`"):
        ask_ansible([str(tmp_path / "nothing")], tmp_path, "Reading")
    with pytest.raises(HerdError, match="Ansible is not installed next to"):
        ask_ansible([sys.executable, "-c", "import ansible_is_not_here"], tmp_path, "Reading")


@pytest.mark.parametrize("is_open", [True, False])
def test_provisioning_says_when_the_projects_settings_are_not_read(
    tmp_path: Path, *, is_open: bool
) -> None:
    """A checkout below /mnt/c: roles are found all the same, so that this can be said."""
    for name in (
        "provision.yml",
        "ansible.cfg",
        "playbooks",
        "roles",
        "experiments",
        "core",
        "inventory",
    ):
        (tmp_path / name).symlink_to(PROJECT / name)
    tmp_path.chmod(0o777 if is_open else 0o755)
    environment = {name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"}
    (tmp_path / "hosts.ini").write_text("[others]\na\n")
    argv = [PLAYBOOK, "-i", "hosts.ini", "provision.yml"]

    def said(**more: str) -> str:
        done = subprocess.run(
            argv,
            cwd=tmp_path,
            env={**environment, "LC_ALL": "C.UTF-8", **more},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    told = said()
    assert ("export ANSIBLE_CONFIG=" in told) == is_open
    assert ("no node in group cluster" in told) != is_open
    assert "was not found" not in told
    if is_open:
        assert "no node in group cluster" in said(ANSIBLE_CONFIG=str(tmp_path / "ansible.cfg"))
