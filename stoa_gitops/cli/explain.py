"""`explain [TOPIC…]`: what a field means, or a finding, and what to do about it."""

from __future__ import annotations

import sys
from argparse import Namespace

from stoa_gitops.cli import terminal
from stoa_gitops.cli.exits import Exit
from stoa_gitops.operations.explain.fields import FieldExplanation
from stoa_gitops.operations.explain.topics import explain, topics
from stoa_gitops.report.explanation import field_text, finding_text, topics_text


def execute(options: Namespace) -> Exit:
    """Print the explanations, or the list of what can be explained."""
    style = terminal.style()
    if not options.topics:
        if options.output == "json":
            _print_json(
                {"format_version": "1.0", **{_key(n): list(t) for n, t in topics().items()}}
            )
        else:
            sys.stdout.write(topics_text(topics(), style))
        return Exit.OK
    explanations = [explain(topic) for topic in options.topics]
    if options.output == "json":
        documents = [explanation.document() for explanation in explanations]
        _print_json({"format_version": "1.0", "explanations": documents})
        return Exit.OK
    texts = (
        field_text(one.document(), style)
        if isinstance(one, FieldExplanation)
        else finding_text(one.document(), style)
        for one in explanations
    )
    sys.stdout.write("\n".join(texts))
    return Exit.OK


def _key(noun: str) -> str:
    return noun.replace(" of findings", "").replace(" ", "_")


def _print_json(document: dict[str, object]) -> None:
    import json

    sys.stdout.write(json.dumps(document, indent=2, sort_keys=True) + "\n")
