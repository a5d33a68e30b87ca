"""Usage of the embedded gateway as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.report.style import Style, display_width, pad

_MAX_TEXT: Final = 60
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_HEAD: Final = ("TENANT", "API", "APPLICATION", "REQUESTS", "5XX", "4XX", "IN", "OUT", "SECONDS")
_NOBODY: Final = "-"


def usage_text(document: Mapping[str, Any], style: Style, *, with_hours: bool) -> str:
    """Return a document of `/v1/usage`, one line per row; `with_hours` names the hour of each."""
    items = document["items"]
    if not items:
        return "Nothing was used in these hours.\n"
    head = (("HOUR",) if with_hours else ()) + _HEAD
    rows = [_row(one, style, with_hours=with_hours) for one in items]
    lines = list(_aligned([head, *rows], texts=len(head) - 6))
    if not document["isWhole"]:
        lines.append("There may be more: ask for fewer hours, or for one tenant.")
    return "".join(f"{line}\n" for line in lines)


def _row(item: Mapping[str, Any], style: Style, *, with_hours: bool) -> tuple[str, ...]:
    hour = (str(item["hour"])[:16].replace("T", " "),) if with_hours else ()
    return (
        *hour,
        *(
            style.safe(text, _MAX_TEXT) or _NOBODY
            for text in (
                item["tenantId"],
                item["api"] or item["apiId"],
                item["application"] or item["applicationId"],
            )
        ),
        *(str(item[name]) for name in ("requests", "errors", "refused")),
        *(bytes_text(item[name]) for name in ("receivedBytes", "sentBytes")),
        f"{item['seconds']:.3f}",
    )


def bytes_text(size: float) -> str:
    """Return a number of bytes with three digits at most, in binary units."""
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    shown = f"{size:.0f}" if unit == 0 or size >= 100 else f"{size:.1f}"
    return f"{shown} {_UNITS[unit]}"


def _aligned(rows: Sequence[tuple[str, ...]], texts: int) -> Iterator[str]:
    """Yield the rows as lines; the first `texts` columns are texts, the others numbers."""
    widths = [max(display_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [pad(cell, width) for cell, width in zip(row[:texts], widths, strict=False)]
        cells += [
            cell.rjust(width) for cell, width in zip(row[texts:], widths[texts:], strict=True)
        ]
        yield "  ".join(cells).rstrip()
