"""What identifies a machine or a person in any text, known by its form: addresses, paths, keys.

Each pattern has an end to every repetition, so no log keeps it busy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

_COLOURED = "|".join(rf"(?<=\[[0-9;]{{{length}}}m)" for length in range(12))
_ESCAPED = rf"(?<=m)(?:{_COLOURED})|(?<=\\[nrtbf])|(?<=\\u[0-9A-Fa-f]{{4}})|(?<=%[0-9A-Fa-f]{{2}})"
"""After the end of an escape a word begins, though the escape's last character is a letter or a
digit: colours (`\\x1b[32mpi1`), JSON (`\\npi1`, `\\uc740pi1`), addresses (`%20pi1`)."""


def _begins(letters: str) -> str:
    """Where something begins: not after one of these characters, or after an escape."""
    return rf"(?:(?<![{letters}])|{_ESCAPED})"


NAME_ENDS = _begins("A-Za-z0-9"), r"(?![A-Za-z0-9])"
"""What is before and what is not after a name: it ends where a word of ASCII does."""
STARTS = rf"(?:(?<![A-Za-z0-9])|{_ESCAPED}|(?<=-[A-Za-z])|(?<=enx))"
"""Where any of the forms below may begin; looked at first, as most places are within a word."""

KEY = (
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]{0,20000}"
    r"(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
    rf"|{_begins('A-Za-z0-9_-')}"
    r"(?:sk|pk|rk|hf|gsk|xai|nvapi|ghp|gho|ghu|ghs|glpat|xox[abprs]|github_pat)[-_]"
    r"[A-Za-z0-9_-]{20,255}"
    rf"|{_begins('A-Za-z0-9')}AKIA[0-9A-Z]{{16}}(?![0-9A-Za-z])"
    rf"|{_begins('A-Za-z0-9')}AIza[0-9A-Za-z_-]{{35}}"
    rf"|{_begins('A-Za-z0-9')}"
    r"eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,2000}"
    r"|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{16,2000}"
    r"|(?<=://)[^\s/:@\"']{1,200}:[^\s/:@\"']{1,200}(?=@)"
)
FINGERPRINT = (
    r"SHA256:[A-Za-z0-9+/]{43}=?|MD5(?::[0-9a-f]{2}){16}"
    r"|(?:ssh-(?:rsa|ed25519|dss)|ecdsa-sha2-nistp\d{3}) AAAA[A-Za-z0-9+/=]{20,8000}"
)
UUID = (
    rf"{_begins('0-9A-Za-z-')}[0-9a-fA-F]{{8}}(?:-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}"
    r"(?![0-9A-Za-z-])"
)
MAC = (
    rf"{_begins('0-9A-Za-z:-')}[0-9A-Fa-f]{{2}}(?:[:-][0-9A-Fa-f]{{2}}){{5}}(?![0-9A-Za-z:-])"
    r"|(?<=enx)[0-9a-f]{12}(?![0-9A-Za-z])"
)
IPV6 = (
    rf"{_begins('0-9A-Za-z:.')}(?=[0-9A-Fa-f]{{0,4}}:)"
    r"[0-9A-Fa-f:]{1,38}(?:[0-9A-Fa-f](?:(?:\.[0-9]{1,3}){3})?|::)(?![0-9A-Za-z])"
)
"""It does not end in the colon or the point after it, which is the sentence's."""
IPV4 = rf"{_begins('A-Za-z0-9.')}[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}}(?![A-Za-z0-9]|\.\d)"
MAIL = (
    rf"{_begins('A-Za-z0-9._%+' + chr(92) * 2 + '-')}[A-Za-z0-9._%+-]{{1,64}}"
    r"@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}"
)
_STEP = r"[^/\\\s\"'<>|:;,()\[\]{}]{1,255}"
HOME = rf"(?:/home\d{{0,2}}/|/Users/|\b[A-Za-z]:(?:\\\\?|/)Users(?:\\\\?|/))(?P<user>{_STEP})"
PATH = (
    rf"(?:{_begins('A-Za-z0-9_.')}|(?<=[\s\"'=,]-[A-Za-z]))(?:(?:/var)?/home\d{{0,2}}|/volume\d{{1,2}}|/Users|/root|/mnt|/media|/srv|/data|/scratch|/work|/workspace|/nas|/nfs"
    rf"|/export|/Volumes|/private|/tmp|/var/tmp)(?:/{_STEP}){{1,40}}"
    rf"|{_begins('A-Za-z0-9')}[A-Za-z]:(?:(?:\\\\?|/){_STEP}){{1,40}}(?<!:)(?=[\s\"'<>|:;,()\[\]{{}}]|$)"
)
FORMS: Mapping[str, str] = {
    "secret": KEY,
    "fingerprint": FINGERPRINT,
    "uuid": UUID,
    "mac": MAC,
    "mail": MAIL,
    "ipv6": IPV6,
    "ipv4": IPV4,
    "path": PATH,
}
"""Kind to pattern, in the order in which they are tried at a place."""
EXAMPLES = tuple(map(ipaddress.ip_network, ("192.0.2.0/24", "198.18.0.0/15", "2001:db8::/32")))
"""Addresses that belong to no one (RFC 5737, RFC 2544, RFC 3849)."""
PSEUDONYMS: Mapping[str, re.Pattern[str]] = {
    "uuid": re.compile(r"00000000-0000-4000-8000-[0-9a-f]{12}"),
    "mac": re.compile(r"02:00(?::[0-9a-f]{2}){4}"),
    "mail": re.compile(
        r"(?:(?:git|secret-[0-9]{1,9})@.{1,255}|user-[0-9]{1,9}@host-[0-9]{1,9}\.example)"
    ),
}
"""What is put in place of such a thing, and what is not a person's."""
GENERIC = frozenset(
    [
        "admin",
        "cluster",
        "debian",
        "docker",
        "herd",
        "home",
        "llama",
        "localhost",
        "nobody",
        "none",
        "pi",
        "raspberrypi",
        "root",
        "runner",
        "test",
        "ubuntu",
        "user",
        "users",
        "vagrant",
        "worker",
        "server",
        "client",
    ]
)
"""Names that many machines and users have."""


def compiled(form: str) -> re.Pattern[str]:
    """One of the patterns alone."""
    return re.compile(FORMS[form])


def is_private(form: str, text: str) -> bool:
    """Whether what a pattern found shows where it is from; a version's number may look alike."""
    if form in PSEUDONYMS:
        return not PSEUDONYMS[form].fullmatch(text)
    if form not in {"ipv4", "ipv6"}:
        return True
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or text == "255.255.255.255":
        return False
    return not any(address in net for net in EXAMPLES if net.version == address.version)
