"""The flags of `try`."""

from __future__ import annotations

from stoa_gitops.cli.flags import Parser, state, text_or_json

EXAMPLES = {
    "try": """examples:
  stoa-gitops try GET /apis/acme/orders/1 --key-ref env:ACME_MOBILE_KEY
  stoa-gitops try GET /apis/acme/orders/1 --explain        # decides, and calls no backend
  stoa-gitops try POST /apis/acme/orders --data @a.json --header 'Content-Type: application/json'
  stoa-gitops try GET /apis/acme/orders --client 203.0.113.9 --expect 403""",
}


def add_try(command: Parser) -> None:
    """Add what is asked for, and what is shown of the answer."""
    command.add_argument("method", metavar="METHOD", help="such as GET")
    command.add_argument("path", metavar="PATH", help="with its query, such as '/apis/acme/a?x=1'")
    command.flag(
        "explain",
        action="store_true",
        help="say what would happen; calls no backend, counts nowhere",
    )
    command.flag(
        "header",
        action="append",
        metavar="'NAME: VALUE'",
        about_default="none",
        help="header of the request; may be repeated",
    )
    command.flag("data", metavar="TEXT", about_default="no body", help="body; @FILE reads a file")
    command.flag(
        "key-ref",
        metavar="REF",
        help="where an API key is, env:NAME or file:PATH; it goes where the API reads keys",
    )
    command.flag("token-ref", metavar="REF", help="likewise a bearer token, for `Authorization`")
    command.flag(
        "header-ref",
        action="append",
        metavar="'NAME: REF'",
        about_default="none",
        help="likewise the value of any header; may be repeated",
    )
    command.flag("host", default="localhost", metavar="NAME", help="host that is asked for")
    command.flag(
        "client",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address of the client, as policies see it",
    )
    command.flag(
        "expect",
        metavar="STATUS",
        about_default="any",
        help="exit 1 for an answer of another status",
    )
    text_or_json(command)
    state(command)
