"""Commands that show what was done and what is known, and their flags."""

from __future__ import annotations

from stoa_gitops.cli.flags import Parser, state, text_or_json

EXAMPLES = {
    "status": """examples:
  stoa-gitops status
  stoa-gitops status --watch""",
    "history": """examples:
  stoa-gitops history kong-prod
  stoa-gitops history --limit 5 --output json""",
    "audit": """examples:
  stoa-gitops audit --gateway kong-prod --since 2h
  stoa-gitops audit --output json --limit 1000""",
    "events": """examples:
  stoa-gitops events --follow
  stoa-gitops events --follow --limit 0 --output jsonl | jq .message""",
    "snapshots": """examples:
  stoa-gitops snapshots --tenant acme
  stoa-gitops snapshots --api acme/orders --limit 1 --output json
  STOA_CONTROL_TOKEN_FILE=token stoa-gitops snapshots --control https://stoa.example.com""",
    "usage": """examples:
  stoa-gitops usage --tenant acme
  stoa-gitops usage --from 2026-11-01 --to 2026-12-01 --output json
  stoa-gitops usage --api acme/orders --by hour""",
    "state": """examples:
  stoa-gitops state list --gateway kong-prod
  stoa-gitops state show kong-prod api/acme/billing
  stoa-gitops state forget kong-prod api/acme/billing""",
}

STATE_VERBS = {
    "list": "list the objects that catalogs own on gateways",
    "show": "show one object: what was last applied, and its id on the gateway",
    "forget": "forget objects; they stay on the gateway",
}


def add_history(command: Parser) -> None:
    """Add which cycles are shown."""
    command.add_argument("name", nargs="?", metavar="GATEWAY", help="its name (default: all)")
    _limit(command, "20", "cycles")
    text_or_json(command)
    state(command)


def add_audit(command: Parser) -> None:
    """Add which entries are shown."""
    _gateway(command)
    command.flag(
        "since",
        metavar="TIME",
        about_default="all",
        help="only what is not older: 2h, 3d, or 2026-05-01T12:00:00Z",
    )
    _limit(command, "50", "entries")
    text_or_json(command)
    state(command)


def add_events(command: Parser) -> None:
    """Add which events are shown, and whether those that come are waited for."""
    _gateway(command)
    command.flag("follow", action="store_true", help="print events as they come, until Ctrl-C")
    _limit(command, "20", "events of the past")
    command.flag("output", choices=("text", "jsonl"), default="text", help="form of the result")
    state(command)


def add_snapshots(command: Parser) -> None:
    """Add which errors are shown."""
    command.flag("tenant", metavar="NAME", about_default="all", help="only of this tenant")
    command.flag(
        "api", metavar="NAME", about_default="all", help="only of this API: tenant/name, or its id"
    )
    _control(command)
    _limit(command, "20", "errors")
    text_or_json(command)
    state(command)


def add_usage(command: Parser) -> None:
    """Add whose usage of which hours is shown."""
    times = "a time such as 2026-11-30 or 2026-11-30T07:00:00Z"
    command.flag(
        "from", dest="start", metavar="TIME", about_default="a day before",
        help=f"begin with the hour of this time, {times}",
    )  # fmt: skip
    command.flag(
        "to", dest="end", metavar="TIME", about_default="now",
        help="end with the last hour before this time",
    )  # fmt: skip
    command.flag("tenant", metavar="NAME", about_default="all", help="only of this tenant")
    command.flag(
        "api", metavar="NAME", about_default="all", help="only of this API: tenant/name, or its id"
    )
    command.flag(
        "application", metavar="NAME", about_default="all",
        help="only of this application: tenant/name, or its id",
    )  # fmt: skip
    command.flag(
        "gateway", metavar="NAME", about_default="all together",
        help="only what was used at this gateway",
    )  # fmt: skip
    command.flag(
        "by", choices=("total", "hour"), default="total", help="add all hours up, or show each"
    )
    _control(command)
    text_or_json(command)
    state(command)


def _control(command: Parser) -> None:
    command.flag(
        "control",
        metavar="URL",
        about_default="the process with --state",
        help="address of a control API, which gets the token that STOA_CONTROL_TOKEN_FILE names",
    )


def add_state(command: Parser) -> None:
    """Add the verbs, each with its arguments."""
    verbs = command.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, summary in STATE_VERBS.items():
        parser = verbs.add_parser(verb, help=summary, description=f"{summary.capitalize()}.")
        if verb != "list":
            parser.add_argument("name", metavar="GATEWAY", help="its name")
        if verb == "show":
            parser.add_argument("key", metavar="KEY", help="such as api/acme/billing")
        if verb == "forget":
            parser.add_argument("keys", nargs="+", metavar="KEY", help="such as api/acme/billing")
            parser.flag("owner", metavar="CATALOG", help="whose, where several own some there")
            parser.flag("yes", action="store_true", help="do not ask")
        if verb == "list":
            _gateways(parser)
            parser.flag(
                "tenant", metavar="NAME", about_default="all", help="only objects of this tenant"
            )
            text_or_json(parser)
        state(parser)
        parser.flag("debug", action="store_true", help="show tracebacks and debug logs")


def _gateway(command: Parser) -> None:
    command.flag("gateway", metavar="NAME", about_default="all", help="only this gateway")


def _gateways(command: Parser) -> None:
    command.flag(
        "gateway",
        action="append",
        metavar="NAME",
        about_default="all",
        help="only this gateway; may be repeated",
    )


def _limit(command: Parser, default: str, noun: str) -> None:
    command.flag("limit", metavar="N", default=default, help=f"most {noun} to show")
