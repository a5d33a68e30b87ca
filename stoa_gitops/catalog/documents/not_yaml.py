"""Names files for what they are that look like YAML and are none: one finding, not a cascade.

These are pointers of Git LFS, files with the conflict markers of a merge, and templates.
"""

from __future__ import annotations

import re
from typing import Final

from stoa_gitops.foundation.yaml.composer import Refused

# The first line of a pointer (git-lfs, docs/spec.md); the second name is that of its first version.
_POINTERS: Final = (b"version https://git-lfs.github.com/", b"version https://hawser.github.com/")

# git-merge(1): seven of each sign at the left edge, then the name of a side or nothing.
_CONFLICT: Final = re.compile(rb"^(?:<{7}|>{7})(?:[ \t\r]|$)", re.MULTILINE)

# Placeholders of Helm, Jinja, Go templates and Handlebars where YAML would have a value or a line.
_TEMPLATE: Final = re.compile(rb"^[^\"'#\n]*?(\{\{|\{%)", re.MULTILINE)
_CLOSED: Final = {b"{{": b"}}", b"{%": b"%}"}


def find_foreign(data: bytes) -> Refused | None:
    """Return why a file is no document at all: a pointer, or an unfinished merge; None if neither.

    Asked of every file, so it is made of `in` where the answer is no.
    """
    if data.startswith(_POINTERS):
        return Refused(
            "file.lfs-pointer",
            "this is the pointer of Git LFS to a file, not the file itself",
            0,
            0,
            "fetch it with `git lfs pull`, or keep the file in Git itself: git lfs migrate export",
        )
    if b"<<<<<<<" not in data and b">>>>>>>" not in data:
        return None
    found = _CONFLICT.search(data)
    if found is None:
        return None
    return Refused(
        "file.conflict",
        "a merge was not finished here: this line is a conflict marker",
        data.count(b"\n", 0, found.start()),
        0,
        "decide for one side, and remove the lines with <<<<<<<, ======= and >>>>>>>",
    )


def find_template(data: bytes) -> Refused | None:
    """Return the finding about a template; asked of text that is no YAML only."""
    if b"{{" not in data and b"{%" not in data:
        return None
    for found in _TEMPLATE.finditer(data):
        end = data.find(b"\n", found.start(1))
        if data.find(_CLOSED[found[1]], found.end(), end if end >= 0 else len(data)) < 0:
            continue
        start = found.start()
        return Refused(
            "file.template",
            f"{found[1].decode()} begins a placeholder of a template, which is no YAML",
            data.count(b"\n", 0, start),
            len(data[start : found.start(1)].decode("utf-8", "replace")),
            "render the template and commit what comes out; text with braces stands in quotes",
        )
    return None
