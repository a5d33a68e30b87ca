"""Tables of the documentation that derive from the policy types.

`python -m stoa_proxy.admin.docs_tables PAGE...` writes them into pages, each between
`<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from stoa_proxy.admin.api import extensions
from stoa_proxy.core.policy import Phase, PolicyType
from stoa_proxy.policies import POLICIES, plans

PAGES = ("docs/data-plane-admin.md", "proxy/stoa_proxy/README.md")
COMMAND = f"python -m stoa_proxy.admin.docs_tables {' '.join(PAGES)}"

_BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
# As wide as the JSON examples around it.
_MAX_LINE = 100


def fill_page(text: str) -> str:
    """Return a page with its generated blocks renewed. Raises KeyError for an unknown block."""
    return _BLOCK.sub(lambda match: f"{match[1]}{_BLOCKS[match[2]]()}\n{match[3]}", text)


def _extensions() -> str:
    """Render the extensions as a JSON list, wrapped."""
    lines = [""]
    for name in extensions(POLICIES):
        if len(lines[-1]) + len(name) > _MAX_LINE:
            lines.append("")
        lines[-1] += f'"{name}", '
    text = "\n ".join(line.rstrip() for line in lines)
    return f"```json\n[{text.rstrip(',')}]\n```"


def _configs() -> str:
    """Render one row per type: its name and its config."""
    rows = [f"| `{known.name}` | {known.config_help} |" for known in POLICIES.types]
    return "\n".join(["| type | config |", "|---|---|", *rows])


def _phases() -> str:
    """Render one row per phase: what runs in it, and with which statuses it refuses."""
    rows = []
    for phase in Phase:
        types = [known for known in POLICIES.types if known.phase is phase]
        names = [_name(known) for known in types]
        statuses = {status for known in types for status in known.statuses}
        if phase is Phase.AUTHORIZATION:
            names, statuses = ["plans and subscriptions", *names], statuses.union(plans.STATUSES)
        listed = ", ".join(str(status) for status in sorted(statuses)) or "none"
        rows.append(f"| {phase.title} | {', '.join(names)} | {listed} |")
    return "\n".join(["| phase | policies | refuses with |", "|---|---|---|", *rows])


def _name(policy_type: PolicyType) -> str:
    return f"`{policy_type.name}`" + (" (the first counts)" if policy_type.is_single else "")


_BLOCKS: Mapping[str, Callable[[], str]] = {
    "extensions": _extensions,
    "policy-configs": _configs,
    "policy-phases": _phases,
}


def main() -> None:
    """Renew the pages that are named as arguments."""
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(fill_page(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
