"""Whether provisioning can become root by the way that the inventory says."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from experiments.doctor.facts import Facts, Root
from experiments.doctor.finding import Finding, NodeAnswer, ok, problem, warning
from experiments.fleet import commands

SUBJECT = "root"
MAY_AS_A_RULE = ("sudo", "admin", "wheel")
"""Groups that distributions let use sudo."""
WHOLE_PATH = "PATH=$PATH:/usr/sbin:/sbin; export PATH"
"""`su` leaves the user's, which has not root's programs."""
RESTRICTED = ("rbash", "rksh", "rzsh", "rsh", "lshell", "git-shell")
SLOW_S = 3.0
ANSIBLE_WAITS_S = 12
"""How long Ansible waits for sudo's question."""


def check(answer: NodeAnswer, facts: Facts) -> Iterator[Finding]:
    """One finding, or two if sudo is also slow."""
    root = facts.root
    if root is None:
        return
    yield from _shell(answer, root)
    if root.is_root:
        yield ok(SUBJECT, "Logs in as root.")
    elif answer.become_method != "sudo":
        yield ok(
            SUBJECT,
            f"The inventory becomes root with {answer.become_method}, which was not tested. "
            "Runs use sudo, which provisioning installs.",
        )
    elif root.program is None:
        yield _without_sudo(answer, root)
    else:
        yield _by_sudo(answer, root)
        yield from _slow(root)


def _shell(answer: NodeAnswer, root: Root) -> Iterator[Finding]:
    """Whether Ansible's commands, which are for `sh` and have several lines, get through it."""
    name = root.shell.rpartition("/")[2]
    if name in RESTRICTED:
        why = "does not start a program by its path"
    elif name in ("csh", "tcsh"):
        why = "does not accept a quoted command of several lines"
    else:
        return
    command = f"{WHOLE_PATH}; usermod --shell /bin/bash {shlex.quote(root.user)}"
    yield problem(
        SUBJECT,
        f"The login shell of {root.user} is {name}, which {why}, so Ansible cannot use it.",
        "On the node, with another account: sudo usermod --shell /bin/bash "
        f"{shlex.quote(root.user)}"
        if name in RESTRICTED
        else commands.on_node(answer.node, command),
    )


def _without_sudo(answer: NodeAnswer, root: Root) -> Finding:
    """Debian's installer leaves sudo out for who gave root a password."""
    install = (
        f"{WHOLE_PATH}; {commands.ASKS_NOTHING}; "
        f"apt-get update && apt-get install -y sudo && {_joins(root)}"
    )
    if root.doas:
        return problem(
            SUBJECT,
            "It has doas but no sudo: provisioning and runs become root with sudo.",
            commands.on_node(answer.node, install, method="community.general.doas"),
        )
    missing = f"{answer.become_exe} does not exist" if answer.become_exe else "It has no sudo"
    return problem(
        SUBJECT,
        f"{missing}, which provisioning needs to become root.",
        "Correct ansible_become_exe of this node, or remove it."
        if answer.become_exe
        else f"{commands.on_node(answer.node, install, method='su')} (it asks for root's password)",
    )


def _by_sudo(answer: NodeAnswer, root: Root) -> Finding:
    words = f": {root.says.rstrip('.')}" if root.says else ""
    if not root.new_privileges or not root.setuid:
        why = (
            "processes of this login cannot gain privileges (no_new_privs)"
            if not root.new_privileges
            else f"{root.program} is not setuid root, or its file system is mounted nosuid"
        )
        return problem(
            SUBJECT,
            f"sudo cannot work here: {why}.",
            "In a container, allow it where the container is created; otherwise mount without "
            "nosuid, and as root: chown root: /usr/bin/sudo && chmod 4755 /usr/bin/sudo",
        )
    if root.asks == "nothing":
        return ok(SUBJECT, "sudo makes this account root without a password.")
    if root.asks == "silent":
        return problem(
            SUBJECT,
            "sudo did not answer within 10 s: it is waiting for a service that does not answer, "
            "such as LDAP or a name server.",
            _name_itself(root)
            or "On the node: sudo -v, and check the line sudoers of /etc/nsswitch.conf and "
            "/etc/resolv.conf.",
        )
    if root.asks == "terminal":
        return problem(
            SUBJECT,
            "sudo requires a terminal (requiretty), which neither Ansible nor the runner has.",
            commands.on_node(
                answer.node,
                f"echo {shlex.quote(f'Defaults:{root.user} !requiretty')} "
                ">/etc/sudoers.d/without-a-terminal",
            ),
        )
    if root.asks == "password":
        return _by_password(answer, root)
    return problem(
        SUBJECT,
        f"sudo does not make this account root{words}.",
        f"{_let_in(answer, root)}. If that does not help, visudo -c on the node shows mistakes "
        "in sudo's rules.",
    )


def _by_password(answer: NodeAnswer, root: Root) -> Finding:
    if not set(root.groups) & set(MAY_AS_A_RULE):
        return warning(
            SUBJECT,
            f"sudo asks for a password, and {root.user} is in none of the groups that can "
            f"usually use it ({', '.join(MAY_AS_A_RULE)}).",
            f"If sudo -v on the node refuses: {_let_in(answer, root)}",
        )
    if not root.is_rs:
        return ok(SUBJECT, "sudo asks for this account's password: provision with -K.")
    sentence = (
        "sudo is sudo-rs, which asks for a password in a way that Ansible does not understand: "
        "provisioning with -K would time out."
    )
    if root.sudo_ws:
        told = commands.provision(limit=[answer.node], variables={"ansible_become_exe": "sudo.ws"})
        return problem(
            SUBJECT,
            sentence,
            f"Set ansible_become_exe: sudo.ws for this node in the inventory; once: {told}",
        )
    rule = f"{root.user} ALL=(ALL) NOPASSWD: ALL"
    return problem(
        SUBJECT,
        sentence,
        "On the node: sudo apt-get install -y sudo; if that installs sudo.ws, set "
        "ansible_become_exe: sudo.ws for this node in the inventory. Otherwise let it ask for "
        f"no password: echo {shlex.quote(rule)} | sudo tee /etc/sudoers.d/operator",
    )


def _let_in(answer: NodeAnswer, root: Root) -> str:
    command = commands.on_node(answer.node, f"{WHOLE_PATH}; {_joins(root)}", method="su")
    return f"{command} (it asks for root's password)"


def _joins(root: Root) -> str:
    """The group as people expect it, and a rule: a connection that is open keeps its groups."""
    rule = f"{root.user} ALL=(ALL:ALL) ALL"
    return (
        f"usermod -aG sudo {shlex.quote(root.user)} && "
        f"echo {shlex.quote(rule)} >/etc/sudoers.d/operator"
    )


def _slow(root: Root) -> Iterator[Finding]:
    if root.asks != "silent" and root.seconds > SLOW_S:
        yield warning(
            SUBJECT,
            f"sudo took {root.seconds:.0f} s to answer; Ansible waits at most {ANSIBLE_WAITS_S} s.",
            "Check whether the node resolves its own name: getent hosts $(hostname)",
        )


def _name_itself(root: Root) -> str:
    """The remedy for a machine that does not know its own name; empty for one that does."""
    if root.own_name_known is not False:
        return ""
    return (
        "On the node, which does not resolve its own name: echo 127.0.1.1 $(hostname) | sudo "
        "tee -a /etc/hosts"
    )
