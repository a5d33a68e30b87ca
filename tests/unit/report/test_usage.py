"""Usage as a table: aligned, in units that people read, and nothing steers a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from stoa_gitops.report.style import Style
from stoa_gitops.report.usage import bytes_text, usage_text


def row(**fields: Any) -> dict[str, Any]:
    values = {
        "hour": "2026-06-01T07:00:00Z", "tenantId": "acme", "apiId": "0a1b", "api": "orders",
        "applicationId": "mobile", "application": "", "requests": 4, "errors": 1, "refused": 2,
        "receivedBytes": 0, "sentBytes": 1536, "seconds": 0.01,
    }  # fmt: skip
    return {**values, **fields}


def test_rows_are_aligned_and_name_what_they_count() -> None:
    items = [row(), row(applicationId="", requests=12_345, seconds=0.0)]
    text = usage_text({"items": items, "isWhole": True}, Style(), with_hours=False)
    assert text == (
        "TENANT  API     APPLICATION  REQUESTS  5XX  4XX   IN      OUT  SECONDS\n"
        "acme    orders  mobile              4    1    2  0 B  1.5 KiB    0.010\n"
        "acme    orders  -               12345    1    2  0 B  1.5 KiB    0.000\n"
    )


def test_hours_show_where_they_are_asked_for_and_a_cut_is_said() -> None:
    text = usage_text({"items": [row()], "isWhole": False}, Style(), with_hours=True)
    head, line, more = text.splitlines()
    assert head.startswith("HOUR              TENANT")
    assert line.startswith("2026-06-01 07:00  acme")
    assert more.startswith("There may be more")


def test_no_use_is_said() -> None:
    text = usage_text({"items": [], "isWhole": True}, Style(), with_hours=False)
    assert text == "Nothing was used in these hours.\n"


def test_names_steer_no_terminal() -> None:
    items = [row(api="a\x1b[2J\n", applicationId="\u202eb")]
    text = usage_text({"items": items, "isWhole": True}, Style(), with_hours=False)
    assert text.count("\n") == 2
    assert not {"\x1b", "\u202e"} & set(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 KiB"), (1024 * 512, "512 KiB"),
        (2**30, "1.0 GiB"), (2**60, "1048576 TiB"),
    ],
)  # fmt: skip
def test_sizes_have_few_digits(size: int, text: str) -> None:
    assert bytes_text(size) == text
