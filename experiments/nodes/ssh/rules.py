"""The project's own options of OpenSSH, which no configuration of a user changes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

CONNECT_S = 10
KNOWN_HOSTS = "inventory/known_hosts"  # as in ansible.cfg
SSH_PORT = 22
CHECKED: Mapping[str, str] = {
    "StrictHostKeyChecking": "yes",
    "VerifyHostKeyDNS": "no",
    "NoHostAuthenticationForLocalhost": "no",
    "UpdateHostKeys": "no",
}
"""For every machine on the way: only keys in a file are accepted, and none is written."""
BOUNDED: Mapping[str, str] = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT_S),
    "ConnectionAttempts": "1",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "LogLevel": "ERROR",
    "PermitLocalCommand": "no",
}
"""For every machine on the way: no questions, a limit on silence, only failures printed."""
TALKING: Mapping[str, str] = {
    "ControlMaster": "no",
    "ControlPath": "none",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "SessionType": "default",
    "ForkAfterAuthentication": "no",
    "StdinNull": "no",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "Tunnel": "no",
    "NumberOfPasswordPrompts": "1",
}
"""For the node: a separate connection to one program."""
ONLY_THERE: Mapping[str, str] = {
    "GlobalKnownHostsFile": "/dev/null",
    "KnownHostsCommand": "none",
    "CheckHostIP": "no",
}
"""For the node: its key is in the inventory's file and nowhere else."""
WITHOUT_PASSWORD: Mapping[str, str] = {
    "KbdInteractiveAuthentication": "no",
    "PreferredAuthentications": "gssapi-with-mic,gssapi-keyex,hostbased,publickey",
    "PasswordAuthentication": "no",
}
"""As Ansible has it."""
WITH_PASSWORD: Mapping[str, str] = {"BatchMode": "no"}
_PLAIN = re.compile(r"[\w/.~+-]+", re.ASCII)


def as_options(settings: Mapping[str, str]) -> list[str]:
    """Write options of a configuration as words of a command line."""
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def as_value(path: str) -> str:
    """A path as one word of a configuration, in which OpenSSH puts nothing in place of a `%`."""
    if _PLAIN.fullmatch(path):
        return path
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


CHECKED_OPTIONS = shlex.join(as_options(CHECKED))
"""Those of `CHECKED` as part of a command for the shell."""
