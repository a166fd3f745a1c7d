"""Prepares a guest that never had a login: user, key, SSH server, systemd.

    python3 - WISHES    (as root; WISHES is base64 of JSON)

WISHES: user, key (a line of authorized_keys), settings (of /etc/wsl.conf: section, option, value),
sshd (content of the SSH server's drop-in file). Prints JSON: changed (what was changed, in words),
restart (whether the guest must be restarted by Windows), host_key (its SSH server's).
Needs nothing but the standard library, and may be repeated.
"""

from __future__ import annotations

import base64
import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path("/")
SSHD = "etc/ssh/sshd_config.d/10-llama-herd.conf"
SUDOERS = "etc/sudoers.d/llama-herd-deploy"


def run(*argv: str) -> None:
    """Run a program. Raises SystemExit with what it said if it fails."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")


def with_setting(text: str, section: str, option: str, value: str) -> str:
    """The text of an INI file with one option set; everything else stays as it is."""
    lines, wanted = text.splitlines(), f"{option}={value}"
    headers = [line.strip().lower() for line in lines]
    if f"[{section}]" not in headers:
        return "\n".join([*lines, f"[{section}]", wanted]) + "\n"
    first = headers.index(f"[{section}]") + 1
    for number in range(first, len(lines)):
        if headers[number].startswith("["):
            break
        if lines[number].partition("=")[0].strip().lower() == option.lower():
            lines[number] = wanted
            break
    else:
        number = len(lines)
    if wanted not in lines[first : number + 1]:
        lines.insert(first, wanted)
    return "\n".join(lines) + "\n"


def written(name: str, content: str, mode: int) -> bool:
    """Write a file of root's whole or not at all; whether that was needed."""
    path = ROOT / name
    if path.exists() and path.read_text() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.touch(mode)
    new.chmod(mode)
    new.write_text(content)
    new.replace(path)
    return True


def set_up_packages() -> bool:
    """The SSH server and sudo."""
    if all((ROOT / program).exists() for program in ("usr/sbin/sshd", "usr/bin/sudo")):
        return False
    run("apt-get", "update")
    run("apt-get", "install", "-y", "--no-install-recommends", "openssh-server", "sudo")
    return True


def set_up_user(name: str) -> bool:
    """The account; an existing account with user id 1000 stays unchanged."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        run("useradd", "--create-home", "--shell", "/bin/bash", name)
        return True
    return False


def set_up_key(home: Path, owner: tuple[int, int], key: str) -> bool:
    """Authorise a key in addition to those that are already authorised."""
    path = home / ".ssh" / "authorized_keys"
    keys = path.read_text().splitlines() if path.exists() else []
    if key in keys:
        return False
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(0o600)
    path.write_text("\n".join([*keys, key]) + "\n")
    for made in (path.parent, path):
        os.chown(made, *owner)
    return True


def set_up_wsl(settings: list[dict[str, str]]) -> bool:
    """What Windows reads when it starts the guest."""
    path = ROOT / "etc/wsl.conf"
    text = path.read_text() if path.exists() else ""
    for setting in settings:
        text = with_setting(text, setting["section"], setting["option"], setting["value"])
    return written("etc/wsl.conf", text, 0o644)


def has_systemd() -> bool:
    """Whether process 1 is systemd."""
    return (ROOT / "proc/1/comm").read_text().strip() == "systemd"


def restart_ssh() -> None:
    """Let a running SSH server take its new port; a socket cannot start while its service runs."""
    run("systemctl", "daemon-reload")
    socket = subprocess.run(["systemctl", "is-active", "--quiet", "ssh.socket"], check=False)
    run("systemctl", "restart", *([] if socket.returncode else ["ssh.socket"]), "ssh.service")


def main() -> None:
    """Do it, and say what was done."""
    wishes = json.loads(base64.b64decode(sys.argv[1]))
    user = wishes["user"]
    done = {"the SSH server": set_up_packages(), "the user": set_up_user(user)}
    account = pwd.getpwnam(user)
    owner = (account.pw_uid, account.pw_gid)
    done["the key"] = set_up_key(Path(account.pw_dir), owner, wishes["key"])
    done["leave to use sudo"] = written(SUDOERS, f"{user} ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)
    done["the SSH server's port"] = written(SSHD, wishes["sshd"], 0o644)
    done["/etc/wsl.conf"] = set_up_wsl(wishes["settings"])
    if done["the SSH server's port"] and has_systemd() and shutil.which("systemctl"):
        restart_ssh()
    run("ssh-keygen", "-A")
    report = {
        "changed": [what for what, was_needed in done.items() if was_needed],
        "restart": done["/etc/wsl.conf"] or not has_systemd(),
        "host_key": (ROOT / "etc/ssh/ssh_host_ed25519_key.pub").read_text().strip(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
