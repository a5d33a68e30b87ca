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


def _add_vendor(parser: Parser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="files; many at once")
    parser.flag(
        "gateway",
        metavar="NAME",
        about_default="the only one of that type, or the only one",
        help="gateway that the documents are for, of any type",
    )


def _add_kong(parser: Parser) -> None:
    _add_vendor(parser)
    parser.flag(
        "tenant",
        metavar="NAME",
        about_default="the only one, or `default`",
        help="tenant of services and consumers whose name or tag `tenant:NAME` says none",
    )


def _add_apisix(parser: Parser) -> None:
    _add_vendor(parser)
    parser.flag(
        "tenant",
        metavar="NAME",
        about_default="the only one",
        help="tenant of services that have no label `tenant`",
    )


def _add_stoa(parser: Parser) -> None:
    parser.add_argument(
        "files", nargs=1, metavar="DIR", help="with tenants/, webmethods/ or stoa-catalog/ in it"
    )
    parser.flag(
        "variable",
        action="append",
        metavar="NAME=VALUE",
        about_default="those of the catalog's environments",
        help="value of a variable such as BASE_DOMAIN; may be repeated",
    )


def _add_gateway(parser: Parser) -> None:
    parser.add_argument("name", metavar="GATEWAY", help="a gateway of the catalog that runs")
    parser.add_argument(
        "keys", nargs="*", metavar="KEY", help="objects, such as api/acme/billing (default: all)"
    )


_FORMS = {
    "openapi": ("API documents from OpenAPI 2.0, 3.0, 3.1 and 3.2", OPENAPI_EXAMPLES),
    "kong": (
        "documents from a file of decK, or a declarative one",
        """examples:
  deck gateway dump && stoa-gitops import kong kong.yaml
  stoa-gitops import kong kong.yaml --tenant acme
  stoa-gitops import kong kong.yaml --gateway gravitee-prod     # for another gateway""",
    ),
    "gravitee": (
        "documents from exports of APIs of Gravitee (v4)",
        """examples:
  stoa-gitops import gravitee orders.json
  stoa-gitops import gravitee exports/*.json --gateway edge     # for another gateway""",
    ),
    "apisix": (
        "documents from a file of ADC, the tool of Apache APISIX",
        """examples:
  adc dump -o adc.yaml && stoa-gitops import apisix adc.yaml --tenant acme
  stoa-gitops import apisix adc.yaml --tenant acme --gateway edge --dry-run""",
    ),
    "stoa": (
        "documents from STOA's own trees: tenants, APIs, applications, policies, contracts",
        """examples:
  stoa-gitops import stoa ../stoa
  stoa-gitops import stoa ../stoa --variable BASE_DOMAIN=example.com --dry-run""",
    ),
    "gateway": (
        "documents for what a running gateway has and the catalog has not",
        """examples:
  stoa-gitops import gateway kong-prod
  stoa-gitops import gateway kong-prod api/acme/billing
  stoa-gitops adopt kong-prod api/acme/billing      # afterwards: takes ownership of it""",
    ),
}
_FORM_ARGUMENTS = {
    "openapi": _add_openapi,
    "kong": _add_kong,
    "gravitee": _add_vendor,
    "apisix": _add_apisix,
    "stoa": _add_stoa,
    "gateway": _add_gateway,
}
