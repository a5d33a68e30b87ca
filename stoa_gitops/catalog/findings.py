"""Findings about documents, still without line and column, and texts safe to show.

They are cheap to make; `positions` looks the positions up, and only for those that are shown in
full.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final, NamedTuple

from stoa_gitops.foundation.yaml.nodes import Pointer
from stoa_gitops.model.canonical import Json
from stoa_gitops.model.diagnostics import Severity
from stoa_gitops.model.secret import SCHEMES, SecretRef


class OtherPlace(NamedTuple):
    """A second place that a finding is about: path, number of the document in it, and pointer."""

    path: str
    document: int
    pointer: Pointer


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one document of a file.

    document  number of the document in the file, from 0
    at_key    the finding is about the key, not the value
    missing   the keys of which one is missing, where that is the finding
    other     a second place, which is named at the end of the message
    line, column  from 1, where they are known already (syntax errors); else found by the pointer
    """

    code: str
    message: str
    pointer: Pointer = ()
    hint: str = ""
    severity: Severity = Severity.ERROR
    at_key: bool = False
    document: int = 0
    missing: tuple[str, ...] = ()
    line: int | None = None
    column: int = 1
    other: OtherPlace | None = None

    @property
    def is_error(self) -> bool:
        """Whether it makes the document unusable."""
        return self.severity is Severity.ERROR


_LONGEST_WORD: Final = 253
"""Longest word that is compared with names: the longest name there is, that of a host."""

_MANY: Final = 1_000
"""Names from which only those that begin or end alike are compared with a word."""


def suggest(word: str, known: Iterable[str], *, what: str = "") -> str:
    """Return a hint with the most similar names, or with all of them when they are few."""
    names = set(known)
    if len(word) > _LONGEST_WORD:
        return f"there is no {what}" if what and not names else ""
    close = near_names(word, names)
    if close:
        return did_you_mean(close)
    if not names:
        return f"there is no {what}" if what else ""
    if len(names) <= 12:
        return f"there {'is' if len(names) == 1 else 'are'} {', '.join(sorted(names))}"
    return f"there are {len(names)}, such as {', '.join(nsmallest(5, names))}"


_WORD: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_MOST_PARTS: Final = 2
"""Names that one word is part of: of more, none is meant more than the others."""


def near_names(word: str, known: Iterable[str]) -> list[str]:
    """Return the names that somebody may have meant by a word: two at most, the nearest first."""
    names = set(known)
    if not names or len(word) > _LONGEST_WORD:
        return []
    if len(names) > _MANY:
        # Each comparison takes 10 us, and a catalog may have 100,000 names.
        alike = [n for n in names if n[:2] == word[:2] or n[-2:] == word[-2:]]
        candidates = nsmallest(_MANY, alike)
    else:
        candidates = sorted(names)
    # 0.6 is difflib's own default: below it, suggestions are mostly unrelated.
    close = difflib.get_close_matches(word, candidates, n=2, cutoff=0.6)
    # `rate-limit` for `rate_limit`: the same letters are closer than difflib's ratio may say.
    if not close:
        folded = word.replace("_", "").replace("-", "").lower()
        close = [n for n in candidates if n.replace("_", "").replace("-", "").lower() == folded][:2]
    # `type` for `gatewayType`, `mobile` for `acme-mobile`: one word of the name.
    if not close:
        parts = [n for n in candidates if word.lower() in map(str.lower, _WORD.findall(n))]
        close = parts if len(parts) <= _MOST_PARTS else []
    return close


def did_you_mean(names: Sequence[str]) -> str:
    """Return the hint for a word that is near to these names."""
    return f"did you mean {' or '.join(names)}?"


SENSITIVE: Final = re.compile(
    r"(?i)(pass(wor[dt]|wd|phrase)?|pasw|secret|token|api[-_]?key|private[-_]?key|credential|"
    r"authori[sz]ation|cookie|^key$|^value$|Ref$|^pwd$)"
)
"""Names of fields whose values are never shown."""

TOKEN: Final = re.compile(
    r"AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,}|glpat-[A-Za-z0-9_-]{20}|"
    r"xox[abprs]-[A-Za-z0-9-]{10,}|sk-[A-Za-z0-9_-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
"""Texts that are secrets by their form: prefixes that AWS, GitHub, GitLab and Slack publish, keys.

JSON Web Tokens are found by `_web_tokens`: as one expression they take time by the square of a
line's length.
"""

_BASE64URL: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
# The middle of a JSON Web Token, from its first dot. `{"` is `eyJ` in base64 (RFC 7519 §3.1).
_CLAIMS: Final = re.compile(r"\.eyJ[A-Za-z0-9_-]{10,}+(?=\.[A-Za-z0-9_-])")
_SIGNATURE: Final = re.compile(r"\.[A-Za-z0-9_-]++")
_SHORTEST_HEADER: Final = 13  # `eyJ` and ten characters


def _web_tokens(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each JSON Web Token, in time that grows with the text's length."""
    begin = 0
    for claims in _CLAIMS.finditer(text):
        # Each header is searched in what lies behind the claims before, so never twice.
        before = text[begin : claims.start()]
        header = before.find("eyJ", len(before.rstrip(_BASE64URL)))
        signature = _SIGNATURE.match(text, claims.end())
        if 0 <= header <= len(before) - _SHORTEST_HEADER and signature is not None:
            yield begin + header, signature.end()
        begin = claims.start() + 1


def has_token(text: str) -> bool:
    """Whether a text holds a secret that is recognised by its form."""
    return TOKEN.search(text) is not None or any(True for _ in _web_tokens(text))


def hide_tokens(text: str) -> str:
    """Return a text with `***` for each token and for user and password of each URL."""
    parts: list[str] = []
    end = 0
    for start, stop in _web_tokens(text):
        if start >= end:  # else it overlaps the one before
            parts += text[end:start], "***"
        end = stop
    text = "".join((*parts, text[end:]))
    return _USERINFO.sub("://***@", TOKEN.sub("***", text))


def may_hold_token(raw: bytes) -> bool:
    """Whether bytes may hold a token; quick, and a no is always right."""
    return (b"gh" in raw and any(start in raw for start in _GITHUB)) or any(
        start in raw for start in _OTHERS
    )


_GITHUB: Final = (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_")
_OTHERS: Final = (b"AKIA", b"github_pat_", b"glpat-", b"xox", b"sk-", b"PRIVATE KEY", b"eyJ")

_USERINFO: Final = re.compile(r"://[^/\s@\"']+@")
_FIELD: Final = re.compile(
    # From the start of each word and without backtracking: each character is seen once or twice.
    r"(?<![\w.-])(?:(?![A-Za-z_])[\w.-])*+(?P<name>[A-Za-z_][\w.-]*+)[\"']?[ \t]*+[:=][ \t]*+"
    r"(?=[^{\[\s#])"
)


_IN_BRACES: Final = re.compile(r"Ref[\"']?[ \t]*+:[ \t]*+[{\[]")
_REFERENCE: Final = re.compile(
    rf"[ \t-]*+[\"']?(?P<scheme>{'|'.join(SCHEMES)})[\"']?[ \t]*+:[ \t]+[\"']?"
    r"(?P<locator>[^\"'\s,{}\[\]#&*!]++)[\"']?[ \t]*+(?:[}#]|$)"
)


def _without_literal_references(line: str, above: str) -> str:
    """Cut a line where a reference does not look like one: it may be the secret itself."""
    if above.endswith("Ref") and not _is_plain_reference(line, 0):
        return f"{line[: len(line) - len(line.lstrip())]}***" if line.strip() else line
    for found in _IN_BRACES.finditer(line):
        if not _is_plain_reference(line, found.end()):
            return f"{line[: found.end()]}***"
    return line


def _is_plain_reference(line: str, start: int) -> bool:
    found = _REFERENCE.match(line, start)
    return found is not None and SecretRef(found["scheme"], found["locator"]).is_plain


def mask(line: str, inherited: str = "", hidden: AbstractSet[str] = frozenset()) -> str:
    """Return a source line without secrets; `hidden` are names of further fields to mask.

    `inherited` is the nearest key above the line, where the line has none itself.
    """
    line = _without_literal_references(hide_tokens(line), inherited)
    if inherited and SENSITIVE.search(inherited) and _FIELD.search(line) is None:
        indent = len(line) - len(line.lstrip())
        return f"{line[:indent]}***" if line.strip() else line
    for found in _FIELD.finditer(line):
        is_secret = found["name"] in hidden or SENSITIVE.search(found["name"])
        if is_secret and not line.startswith(("${", "|", ">"), found.end()):
            return f"{line[: found.end()]}***"
    return line


def shown(value: Json, name: str | int = "") -> str:
    """Return a value for a message: short, and never one that may be a secret."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(name, str) and SENSITIVE.search(name):
        return "the value"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if isinstance(value, str):
        text = f'"{hide_tokens(text)}"'
    return text if len(text) <= 80 else f"{text[:60]}…{text[-10:]}"


_QUERY: Final = re.compile(r"(://[^\s?#\"']+)\?[^\s#\"']+")
# Beside SENSITIVE: names of other programs, whose values nobody here has to see.
_VAULT: Final = re.compile(r"vault:[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)+(#[A-Za-z0-9._-]+)?")
_PLAIN: Final = frozenset({"pass_host"})
_FOREIGN: Final = re.compile(
    r"(?i)auth[-_]?(header|value)|(access|client|shared)[-_]?key|signature"
)


def foreign_text(value: object, *names: str, most: int = 200) -> str:
    """Return a value of another program's file for a page that is committed: `***` for secrets.

    `names` say what the value is. Of URLs user, password and query are hidden; nothing for None.
    """
    if value in (None, "") or isinstance(value, bool):
        return "" if value in (None, "") else str(value)
    if isinstance(value, str) and _VAULT.fullmatch(value):
        return value[:most]
    # A name may be dotted, or a sentence: each word may say that it is a secret.
    words = [word for name in names for word in re.split(r"[\s.:/]+", name)]
    if any(_FOREIGN.search(word) or SENSITIVE.search(word) for word in words if word not in _PLAIN):
        return "***"
    return _QUERY.sub(r"\1?***", hide_tokens(str(value)))[:most]
