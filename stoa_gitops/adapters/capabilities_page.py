"""Writes docs/capabilities.md from the declarations of the adapters.

python -m stoa_gitops.adapters.capabilities_page > docs/capabilities.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from stoa_gitops.adapter_sdk.capabilities import Capability
from stoa_gitops.adapter_sdk.info import AdapterInfo
from stoa_gitops.adapters.registry import all_infos


def render_page() -> str:
    """Return the page: one table over all public gateway types, and the reasons below."""
    infos = [info for info in all_infos() if info.public]
    reasons = (line for info in infos for line in _reason_lines(info))
    return "\n".join([*_head_lines(), *_table_lines(infos), *reasons, ""])


def _head_lines() -> Iterator[str]:
    yield "# What each gateway can do"
    yield ""
    yield (
        "Generated from the adapters' declarations by"
        " `python -m stoa_gitops.adapters.capabilities_page`; not edited by hand."
    )
    yield "A policy or field that a gateway cannot express is reported before any call."
    yield ""
    yield (
        "`yes`: supported. `depends`: the running gateway decides, and is asked before a plan is"
        " made. `no`: unsupported."
    )
    yield ""


def _table_lines(infos: list[AdapterInfo]) -> Iterator[str]:
    yield "| capability | " + " | ".join(info.title for info in infos) + " |"
    yield "|---|" + "---|" * len(infos)
    for name in sorted({name for info in infos for name in info.capabilities}):
        words = (_word(info.capabilities.get(name)) for info in infos)
        yield f"| `{name}` | " + " | ".join(words) + " |"
    yield ""


def _word(capability: Capability | None) -> str:
    if capability is None or not capability.supported:
        return "no"
    return "depends" if capability.depends else "yes"


def _reason_lines(info: AdapterInfo) -> Iterator[str]:
    types = ", ".join(f"`{name}`" for name in info.types)
    yield f"## {info.title}"
    yield ""
    yield f"Types: {types}. Versions: {info.versions}. Written by {info.granularity.value}."
    yield ""
    for name, capability in sorted(info.capabilities.items()):
        if capability.reason:
            yield f"- `{name}`: {_word(capability)}; {capability.reason}"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(render_page())
