"""Verbs of `gateways` and their flags."""

from __future__ import annotations

from stoa_gitops.cli.flags import Parser, catalog, catalog_filter, state, text_or_json


def add_arguments(command: Parser) -> None:
    """Add the verbs, each with its arguments."""
    verbs = command.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, summary in _VERBS.items():
        parser = verbs.add_parser(verb, help=summary, description=f"{summary.capitalize()}.")
        if verb == "new-key":
            parser.add_argument("environment", metavar="ENV", help="dev, staging, prod …")
        elif verb != "list":
            parser.add_argument("name", metavar="GATEWAY", help="its name")
        if verb in _VERB_ARGUMENTS:
            _VERB_ARGUMENTS[verb](parser)
        # These two read a catalog, and add --state themselves beside its flags.
        if verb not in ("prune", "export", "new-key"):
            state(parser)
        parser.flag("debug", action="store_true", help="show tracebacks and debug logs")


_VERBS = {
    "list": "list the known gateways",
    "show": "show one gateway: conditions, quarantine, last change",
    "suspend": "stop writing to a gateway until it is resumed",
    "resume": "write to a gateway again",
    "forget": "forget what is known of a gateway; its objects stay",
    "prune": "delete the objects of a gateway whose document is gone",
    "export": "write the gateway's own backup, if this gateway type supports it",
    "new-key": "make a key with which gateways of an environment register",
}


def _list(command: Parser) -> None:
    text_or_json(command)
    catalog_filter(command)


def _show(command: Parser) -> None:
    text_or_json(command)
    catalog_filter(command)


def _suspend(command: Parser) -> None:
    catalog_filter(command)
    command.flag("reason", metavar="TEXT", help="why, for those who find it suspended")


def _forget(command: Parser) -> None:
    command.flag("owner", metavar="CATALOG", help="which catalog's objects, where several own some")
    command.flag("yes", action="store_true", help="do not ask")


def _prune(command: Parser) -> None:
    command.flag(
        "from",
        dest="origin",  # `from` is a keyword of Python
        required=True,
        metavar="WHERE",
        help="a revision of the catalog, or a folder, that still has the gateway's document",
    )
    catalog(command, formats=("text",), filters=False)
    state(command)
    command.flag("yes", action="store_true", help="do not ask")
    command.flag("force", action="store_true", help="delete though a guard holds it back")


def _export(command: Parser) -> None:
    catalog(command, formats=("json",), filters=False)
    state(command)
    command.flag("out", metavar="FILE", help="write into this new file, mode 0600")


_VERB_ARGUMENTS = {
    "list": _list,
    "show": _show,
    "suspend": _suspend,
    "resume": catalog_filter,
    "forget": _forget,
    "prune": _prune,
    "export": _export,
}
