"""Forms of `import` and their flags."""

from __future__ import annotations

import argparse

from stoa_gitops.cli.flags import DEFAULT_CATALOG, Parser, text_or_json

OPENAPI_EXAMPLES = """examples:
  stoa-gitops import openapi petstore.yaml --tenant acme
  stoa-gitops import openapi specs/*.json https://api.example.com/openapi.json
  stoa-gitops import openapi petstore.yaml --dry-run     # say what would be written"""


def add_arguments(command: Parser) -> None:
    """Add the forms that documents are imported from, each with its arguments."""
    forms = command.add_subparsers(dest="form", metavar="FORM", required=True)
    for form, (summary, examples) in _FORMS.items():
        parser = forms.add_parser(
            form,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _FORM_ARGUMENTS[form](parser)
        parser.flag(
            "catalog",
            default=DEFAULT_CATALOG,
            metavar="DIR",
            about_default="current folder",
            help="folder of the catalog that the documents are written to",
        )
        parser.flag(
            "dry-run", action="store_true", help="say what would be written, and write nothing"
        )
        text_or_json(parser)
        parser.flag(
            "state",
            metavar="DIR",
            about_default="$XDG_STATE_HOME/stoa-gitops",
            help="the store, whose files no document may name as secrets",
        )
        parser.flag("debug", action="store_true", help="show tracebacks and debug logs")


def _add_openapi(parser: Parser) -> None:
    parser.add_argument("locations", nargs="+", metavar="FILE", help="files or URLs; many at once")
    parser.flag(
        "tenant",
        metavar="NAME",
        about_default="the only one",
        help="tenant of the APIs; one that the catalog has not is made",
    )
    parser.flag(
        "name",
        metavar="NAME",
        about_default="made of the title",
        help="of the API, for one document",
    )
    parser.flag(
        "gateway",
        action="append",
        metavar="NAME",
        about_default="the tenant's",
        help="gateway of the APIs; may be repeated",
    )
    parser.flag(
        "backend",
        metavar="URL",
        about_default="the first server",
        help="where requests go, whatever the documents say",
    )
    parser.flag(
        "variable",
        action="append",
        metavar="NAME=VALUE",
        about_default="those of the documents",
        help="value of a variable of servers; may be repeated",
    )
    parser.flag(
        "fetch-refs",
        action="store_true",
        help="fetch the documents that references lead to, into the copy",
    )
    parser.flag(
        "allow-private",
        action="store_true",
        help="call URLs at addresses of this machine and of private networks, too",
    )


def _add_kong(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="of decK, or declarative")
    parser.flag(
        "gateway",
        metavar="NAME",
        about_default="the only Kong, or the only one",
        help="gateway that the documents are for, of any type",
    )


_FORMS = {
    "openapi": ("API documents from OpenAPI 2.0, 3.0, 3.1 and 3.2", OPENAPI_EXAMPLES),
    "kong": (
        "documents from a file of decK, or a declarative one",
        """examples:
  deck gateway dump && stoa-gitops import kong kong.yaml
  stoa-gitops import kong kong.yaml --gateway gravitee-prod     # for another gateway""",
    ),
}
_FORM_ARGUMENTS = {"openapi": _add_openapi, "kong": _add_kong}
