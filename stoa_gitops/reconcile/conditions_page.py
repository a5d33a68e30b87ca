"""Prints the table of condition reasons that stands in docs/operations.md."""

from __future__ import annotations

import sys

from stoa_gitops.model.conditions import REASON_MEANINGS


def reasons_table() -> str:
    """Return the table in Markdown, one row for each reason."""
    rows = [
        f"| `{reason.value}` | {meaning.condition} | {meaning.status} | {meaning.when} |"
        for reason, meaning in REASON_MEANINGS.items()
    ]
    return "\n".join(["| reason | condition | status | when |", "|---|---|---|---|", *rows, ""])


if __name__ == "__main__":
    sys.stdout.write(reasons_table())
