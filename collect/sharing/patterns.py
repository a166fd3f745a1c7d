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
    rf"(?:{_begins('0-9A-Za-z-')}|(?<=GPU-)|(?<=MIG-))"
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"(?![0-9A-Za-z-])"
)
MAC = (
    rf"{_begins('0-9A-Za-z:-')}[0-9A-Fa-f]{{2}}(?:[:-][0-9A-Fa-f]{{2}}){{5}}(?![0-9A-Za-z:-])"
    r"|(?<=enx)[0-9a-f]{12}(?![0-9A-Za-z])"
    rf"|{_begins('0-9A-Za-z.:-')}(?=[0-9.]{{0,12}}[A-Fa-f])[0-9A-Fa-f]{{4}}"
    r"(?:\.[0-9A-Fa-f]{4}){2}(?![0-9A-Za-z]|\.[0-9A-Za-z])"
)
"""With colons, with hyphens, as the name of an interface, and with points as switches print it."""
IPV6 = (
    rf"{_begins('0-9A-Za-z:.')}(?=[0-9A-Fa-f]{{0,4}}:)"
    r"[0-9A-Fa-f:]{1,38}(?:[0-9A-Fa-f](?:(?:\.[0-9]{1,3}){3})?|::)(?![0-9A-Za-z])"
)
"""It does not end in the colon or the point after it, which is the sentence's."""
_CLOCK = r"[0-9]{1,3}\.[0-9]{2}\.[0-9]{3}\.[0-9]{3} [A-Z] "
"""The time before each line of llama.cpp's logs: minutes, seconds, milli- and microseconds."""
IPV4 = (
    rf"{_begins('A-Za-z0-9.')}(?!{_CLOCK})[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}}(?![A-Za-z0-9]|\.\d)"
)
MAIL = (
    rf"{_begins('A-Za-z0-9._%+' + chr(92) * 2 + '-')}[A-Za-z0-9._%+-]{{1,64}}"
    r"@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}"
)
_QUAD = r"[0-9]{1,3}(?:-[0-9]{1,3}){3}(?![A-Za-z0-9]|-[A-Za-z0-9])"
_LABELS = r"(?:\.[A-Za-z0-9-]{1,63})"
PROVIDED = ("ip-", "ec2-")
HOST = (
    rf"{_begins('A-Za-z0-9')}(?:{'|'.join(PROVIDED)}){_QUAD}{_LABELS}{{0,8}}"
    rf"|{_begins('A-Za-z0-9')}(?:[A-Za-z][A-Za-z0-9]{{0,20}}-)?{_QUAD}{_LABELS}{{2,8}}"
    rf"|{_begins('A-Za-z0-9-')}(?:(?:DESKTOP|LAPTOP)-[A-Z0-9]{{7}}|WIN-[A-Z0-9]{{11}})(?![A-Za-z0-9-])"
)
"""Names that providers make of an address (`ip-10-0-0-7.ec2.internal`), and those of Windows."""
ADDRESS_IN_NAME = re.compile(_QUAD)
_HOST_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?"
_PLACE = r"(?:[^\s\\\"'<>|()\[\]{},;:/]{1,80}/){0,20}[^\s\\\"'<>|()\[\]{},;:/]{1,80}"
REPOSITORY = (
    rf"{_begins('A-Za-z0-9._%+-')}(?=[A-Za-z0-9._%+-]{{1,64}}(?:@|://))(?:"
    rf"(?:git\+)?https?://(?:[^\s/\"'<>@]{{1,200}}@)?{_HOST_NAME}"
    rf"(?::[0-9]{{1,5}})?/{_PLACE}(?<=\.git)(?![A-Za-z0-9])"
    r"|(?:git|ssh|(?:git|svn|hg)\+(?:ssh|https?)|svn|rsync)://"
    rf"(?:[^\s/\"'<>@]{{1,200}}@)?{_HOST_NAME}(?::[0-9]{{1,5}})?/{{0,2}}(?:{_PLACE})?"
    rf"|(?:git|gitea|gitlab|forgejo|hg|svn)@{_HOST_NAME}:{_PLACE}"
    rf"|[A-Za-z0-9._%+-]{{1,64}}@{_HOST_NAME}:{_PLACE}(?<=\.git)(?![A-Za-z0-9]))"
)
"""Where source comes from, as address and as `git@host:path`."""
GIT_USER = re.compile(rf"(?<![A-Za-z0-9._%+-])git@({_HOST_NAME})")
FORGES = (
    "github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "gitea.com", "sr.ht", "gitee.com",
    "sourceforge.net", "huggingface.co", "hf.co", "salsa.debian.org", "kernel.org", "gnu.org",
    "googlesource.com", "launchpad.net", "freedesktop.org", "localhost",
)  # fmt: skip
"""Public places for source: their names say nothing about who took something there."""
_STEP = r"[^/\\\s\"'<>|:;,()\[\]{}]{1,255}"
_AND = "and|as|at|by|does|for|from|has|in|into|is|not|of|on|or|the|to|was|with|und"
_BLANKS = rf"{_STEP}(?:(?:\\\\?)? (?!(?:{_AND})\b)[^\W\d_][\w.'-]{{0,63}}){{1,3}}(?=[/\\])"
"""A name of several words, each but the first begun by a letter, before the next step of a path."""
_OF_USER = rf"(?:{_BLANKS}|{_STEP})"
_SLASH = r"(?:\\\\?|/)"
_WINDOWS_HOME = rf"{_SLASH}(?i:Users|Documents and Settings){_SLASH}"
HOME = rf"(?:/home\d{{0,2}}/|/Users/|\b[A-Za-z]:{_WINDOWS_HOME})(?P<user>{_OF_USER})"
_DISK = (
    r"/volume\d{1,2}|/root|/mnt|/media|/srv|/data|/scratch|/work|/workspace|/nas|/nfs|/export"
    r"|/Volumes|/private|/tmp|/var/tmp"
)
PATH = (
    rf"(?:{_begins('A-Za-z0-9_.')}|(?<=[\s\"'=,]-[A-Za-z]))"
    rf"(?:(?:(?:/var)?/home\d{{0,2}}|/Users)/{_OF_USER}|(?:{_DISK})/{_STEP})(?:/{_STEP}){{0,40}}"
    rf"|{_begins('A-Za-z0-9')}[A-Za-z]:(?:{_WINDOWS_HOME}{_OF_USER})?(?:{_SLASH}{_STEP}){{1,40}}"
    r"(?<!:)(?=[\s\"'<>|:;,()\[\]{}]|$)"
)
FORMS: Mapping[str, str] = {
    "secret": KEY,
    "fingerprint": FINGERPRINT,
    "uuid": UUID,
    "mac": MAC,
    "repository": REPOSITORY,
    "mail": MAIL,
    "host": HOST,
    "ipv6": IPV6,
    "ipv4": IPV4,
    "path": PATH,
}
"""Kind to pattern, in the order in which they are tried at a place."""
THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
"""No host has such an address, but clocks of logs look so (RFC 1122)."""
EXAMPLES = tuple(map(ipaddress.ip_network, ("192.0.2.0/24", "198.18.0.0/15", "2001:db8::/32")))
"""Addresses that belong to no one (RFC 5737, RFC 2544, RFC 3849)."""
PSEUDONYMS: Mapping[str, re.Pattern[str]] = {
    "uuid": re.compile(r"00000000-0000-4000-8000-[0-9a-f]{12}"),
    "mac": re.compile(r"02:00(?::[0-9a-f]{2}){4}"),
    "repository": re.compile(
        r"(?:(?:https?|ssh)://|git@)[A-Za-z0-9.-]{1,255}[/:]repository-[0-9]{1,9}\.git"
    ),
    "mail": re.compile(
        r"(?:(?:git|secret-[0-9]{1,9})@.{1,255}|user-[0-9]{1,9}@host-[0-9]{1,9}\.example)"
    ),
}
"""What is put in place of such a thing, and what is not a person's."""
NO_DOMAINS = frozenset(
    [
        "out",
        "err",
        "json",
        "jsonl",
        "csv",
        "yml",
        "yaml",
        "log",
        "txt",
        "root",
        "worker",
        "server",
        "client",
        "py",
        "parquet",
    ]
)
"""What may follow a name and a point and makes no domain of both."""
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


def digits_of(hardware: str) -> str:
    """The digits of a MAC address in small letters."""
    return re.sub("[^0-9a-f]", "", hardware.casefold())


def holds_password(repository: str) -> bool:
    """Whether the address of a repository has a password or a key in it."""
    user, at, _ = repository.partition("://")[2].partition("@")
    return bool(at) and (":" in user or re.search(KEY, user) is not None)


def git_host(repository: str) -> str:
    """The host in what REPOSITORY found, in small letters."""
    found = re.search(rf"(?:://(?:[^/@]{{1,200}}@)?|^[^/@]{{1,64}}@)({_HOST_NAME})", repository)
    return found[1].casefold() if found else ""


def is_public(host: str) -> bool:
    """Whether a host is a public place for source."""
    return any(host == one or host.endswith(f".{one}") for one in FORGES)


def is_private(form: str, text: str) -> bool:
    """Whether what a pattern found shows where it is from; a version's number may look alike."""
    if form in PSEUDONYMS and PSEUDONYMS[form].fullmatch(text):
        return False
    if form == "repository":
        return _names_user(text) or not is_public(git_host(text))
    if form == "host":
        return _is_private_host(text)
    return form not in {"ipv4", "ipv6"} or _is_private_address(text)


def _names_user(repository: str) -> bool:
    return re.match(r"(?:git\+)?https?://[^/@]{1,200}@", repository) is not None


def _is_private_host(name: str) -> bool:
    """Whether a name of a host shows its address; the name of a log may have such numbers, too."""
    quad = ADDRESS_IN_NAME.search(name)
    if quad is None:
        return True
    is_file = name.rpartition(".")[2].lower() in NO_DOMAINS and not name.startswith(PROVIDED)
    return not is_file and _is_private_address(quad[0].replace("-", "."))


def _is_private_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or text == "255.255.255.255":
        return False
    if address in THIS_NETWORK:
        return False
    return not any(address in net for net in EXAMPLES if net.version == address.version)
