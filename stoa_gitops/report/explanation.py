"""Explanations of fields and findings as text for a terminal."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.report.style import Style, pad

_LABEL: Final = 10
"""Columns of the labels at the left."""

_WIDEST: Final = 100
"""Columns of running text: longer lines are hard to read on a wide terminal."""


_PLAIN: Final = re.compile(
    r"(?!(?:true|false|null|yes|no|on|off|0x\w+|[\d.]+e-?\d+)$)[\w/][\w./:@-]*[A-Za-z_/][\w./:@-]*(?<!:)"
)
"""Words that YAML reads as text, in whatever version, also within brackets."""


def field_text(document: Mapping[str, Any], style: Style) -> str:
    """Return the explanation of a field; `document` as of `schemas/output/explanation.json`."""
    mark = " (must be written)" if document["required"] and "." in document["name"] else ""
    lines = [
        f"{style.paint(document['name'], 'bold')}  {style.paint(document['type'], 'cyan')}{mark}"
    ]
    lines += ["", *_wrapped(document["description"], style), ""]
    rows = [
        ("File", document["place"] or ""),
        ("Default", "" if document["default"] is None else json.dumps(document["default"])),
        ("Bounds", "; ".join(document["constraints"])),
        ("Example", _example(document)),
    ]
    lines += [f"{pad(label, _LABEL)}{text}" for label, text in rows if text]
    lines += _support(document["gateways"], style)
    if document["fields"]:
        lines += ["", *_fields(document["fields"], style)]
    return "\n".join(lines) + "\n"


def _example(document: Mapping[str, Any]) -> str:
    if document["fields"] and "." not in document["name"]:
        return ""  # a whole document says less than the fields below
    return f"{document['name'].rpartition('.')[2]}: {flow_text(document['example'])}"


def flow_text(value: Any) -> str:
    """Return a value as YAML on one line, without quotes where a word needs none."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{flow_text(name)}: {flow_text(item)}" for name, item in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow_text, value))}]"
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _support(gateways: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    if not gateways:
        return
    titles = {one["gateway"] for one in gateways}
    names = {one["capability"] for one in gateways}
    rows = []
    for one in gateways:
        subject = one["gateway"] if len(names) == 1 else one["capability"]
        if len(names) > 1 and len(titles) > 1:
            subject = f"{one['gateway']}, {one['capability']}"
        reason = f"  {one['reason']}" if one["reason"] else ""
        rows.append((subject, one["support"], reason))
    width = max(len(subject) for subject, _, _ in rows)
    colours = {"yes": "green", "no": "red", "depends": "yellow"}
    for number, (subject, answer, reason) in enumerate(rows):
        label = "Works on" if number == 0 else ""
        word = style.paint(pad(answer, 7), colours[answer])
        yield f"{pad(label, _LABEL)}{pad(subject, width)}  {word}{reason}".rstrip()


def _fields(fields: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    yield style.paint("Fields", "bold") + " (* must be written)"
    names = [f"{one['name']}{'*' if one['required'] else ''}" for one in fields]
    width = max(map(len, names))
    for one, name in zip(fields, names, strict=True):
        default = (
            "" if one["default"] in (None, [], {}) else f" Default: {json.dumps(one['default'])}."
        )
        lines = textwrap.wrap(
            f"{one['type']}. {one['description']}{default}",
            max(_columns(style) - width - 4, 30),
        )
        yield f"  {pad(name, width)}  {lines[0]}"
        yield from (" " * (width + 4) + line for line in lines[1:])


def finding_text(document: Mapping[str, Any], style: Style) -> str:
    """Return the explanation of a code; `document` as of `schemas/output/explanation.json`."""
    lines = [style.paint(document["code"], "bold"), "", *_wrapped(document["meaning"], style)]
    lines += _blocks(document["example"], "Example", style)
    lines += ["", *_wrapped(f"Fix: {document['fix']}", style)]
    lines += _blocks(document["fixed"], "", style)
    return "\n".join(lines) + "\n"


def _blocks(blocks: Sequence[Mapping[str, Any]], label: str, style: Style) -> Iterator[str]:
    for block in blocks:
        head = block["path"] or ""
        yield ""
        title = ", ".join(part for part in (label, head) if part)
        if title:
            yield style.paint(title, "dim")
        yield from (f"  {line}".rstrip() for line in block["text"].splitlines())


def topics_text(topics: Mapping[str, Sequence[str]], style: Style) -> str:
    """Return everything that can be explained."""
    lines = []
    for noun, names in topics.items():
        lines += [
            style.paint(noun.capitalize(), "bold"),
            *_wrapped(", ".join(names), style, "  "),
            "",
        ]
    return "\n".join(lines)


def _wrapped(text: str, style: Style, indent: str = "") -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ""
        yield from textwrap.wrap(
            " ".join(paragraph.split()),
            _columns(style),
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )


def _columns(style: Style) -> int:
    return min(style.width or _WIDEST, _WIDEST)
