"""Findings of validation as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from stoa_gitops.model.catalog import Catalog
from stoa_gitops.model.counts import counted
from stoa_gitops.model.diagnostics import Diagnostic, Severity
from stoa_gitops.report.finding_text import finding_sentence, repository_path
from stoa_gitops.report.style import Style, display_width
from stoa_gitops.report.summary import findings_line

_COLOURS: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow"}
_BEFORE_CARET: Final = 30
"""Characters of a long source line that stay before the caret."""
_MOST_CODES: Final = 3
"""Codes that are named below the findings: a person begins with the first."""
_ROOM: Final = 2_000
"""Characters of a message or hint: as many as a store keeps, and enough for any of ours."""


def diagnostics_text(
    findings: Sequence[Diagnostic],
    style: Style,
    *,
    documents: int | None = None,
    prefix: str = "",
) -> str:
    """Return the findings by position and a summary, ending with a newline.

    documents how many the catalog has, for the summary
    prefix    the catalog's folder in its repository, put before every path
    """
    lines = list(_all_lines(findings, style, prefix))
    if lines and not style.excerpts:
        lines.append("")
    lines.append(_summary(findings, style, documents))
    if findings:
        lines.append(_explained(findings))
    return "\n".join(lines) + "\n"


def catalog_text(catalog: Catalog, style: Style, *, prefix: str = "") -> str:
    """Return the findings of a catalog and, where it is valid, what it holds."""
    text = diagnostics_text(catalog.diagnostics, style, documents=catalog.documents, prefix=prefix)
    if catalog.errors:
        return text
    holds = ", ".join(
        (
            counted(catalog.documents, "document"),
            counted(len(catalog.tenants), "tenant"),
            counted(len(catalog.gateways), "gateway"),
        )
    )
    valid = style.paint(style.safe(f"{catalog.revision} is valid: {holds}."), "green")
    return (text if catalog.diagnostics else "") + valid + "\n"


def _summary(findings: Sequence[Diagnostic], style: Style, documents: int | None) -> str:
    colour = "green" if not findings else "yellow"
    if any(finding.severity is Severity.ERROR for finding in findings):
        colour = "red"
    return style.paint(findings_line(findings, documents), colour)


def _explained(findings: Sequence[Diagnostic]) -> str:
    """Return the command that says more, with as many codes as a line holds."""
    codes = list(dict.fromkeys(finding.code for finding in sorted(findings, key=lambda f: f.order)))
    return f"More: stoa-gitops explain {' '.join(codes[:_MOST_CODES])}"


def _all_lines(findings: Sequence[Diagnostic], style: Style, prefix: str) -> Iterator[str]:
    for finding in sorted(findings, key=lambda finding: finding.order):
        source = finding.source
        position = f"{repository_path(source.path, prefix)}:{source.line}:{source.column}"
        label = style.paint(
            style.safe(f"{finding.severity.value}[{finding.code}]"),
            _COLOURS[finding.severity],
            "bold",
        )
        text = style.safe(finding_sentence(finding), _ROOM)
        yield f"{style.paint(style.safe(position), 'bold')}: {label} {text}"
        if style.excerpts and may_show_excerpt(finding):
            yield from _excerpt(finding, style)
        if finding.hint:
            yield f"    hint: {style.safe(finding.hint, _ROOM)}"
        if style.excerpts:
            yield ""


def may_show_excerpt(finding: Diagnostic) -> bool:
    """Whether the source line may be shown: not where it contains the secret of the finding."""
    return bool(finding.excerpt.strip()) and "secret" not in finding.code.lower()


def _excerpt(finding: Diagnostic, style: Style) -> Iterator[str]:
    gutter = f"    {finding.source.line} | "
    line = finding.excerpt.rstrip("\r\n")
    # Columns count from 1 and may be one past the end, where something is missing.
    at = min(max(finding.source.column - 1, 0), len(line))
    before, under, after = (
        style.safe(part)
        for part in (line[:at], line[at : at + finding.width], line[at + finding.width :])
    )
    # Minified JSON is one line of kilobytes: only the part around the caret is shown.
    room = max(style.width - len(gutter), 2 * _BEFORE_CARET) if style.width > 0 else 0
    if room and len(before) + len(under) + len(after) > room:
        if len(before) > _BEFORE_CARET:
            before = style.mark + before[-_BEFORE_CARET:]
        under = under[: room - len(before)]
        rest = room - len(before) - len(under) - len(style.mark)
        after = after if len(after) <= rest else after[: max(rest, 0)] + style.mark
    yield style.paint(gutter, "dim") + before + under + after
    blank = " " * (len(gutter) - 2) + style.paint("| ", "dim") + " " * display_width(before)
    yield blank + style.paint("^" * max(display_width(under), 1), _COLOURS[finding.severity])
