"""The environment for programs that fetch or unpack what others made: git, pip, npm, apt.

Nothing but the standard library: the roles' programs use it with any Python of the controller.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_PASSED = frozenset({
    "HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER",
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
    # How the network is reached, and who vouches for it.
    "ALL_PROXY", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",
    "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE", "SSH_AUTH_SOCK", "SSL_CERT_DIR", "SSL_CERT_FILE",
})  # fmt: skip
_PASSED_BEGINNINGS = ("LC_", "PIP_", "NPM_CONFIG_")
"""Also a client's own settings: which index, which folder for its cache."""


def environment_for_clients(**more: str) -> dict[str, str]:
    """What such a program gets of this process's environment, and `more`.

    A list of what is passed, not of what is kept back: a key of an API may have any name.
    """
    return {**_allowed(os.environ), **more}


def _allowed(variables: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in variables.items()
        if name.upper() in _PASSED or name.upper().startswith(_PASSED_BEGINNINGS)
    }
