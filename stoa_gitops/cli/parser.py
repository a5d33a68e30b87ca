"""Commands and their flags. Nothing heavy is imported here: `--help` must be quick."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping

from stoa_gitops import __version__
from stoa_gitops.cli import (
    parser_authoring,
    parser_gateways,
    parser_import,
    parser_trying,
    parser_watching,
)
from stoa_gitops.cli.flags import Parser, catalog, catalog_filter, state, text_or_json

_SUMMARIES = {
    "init": "make a catalog to begin with, which `run` serves at once",
    "validate": "check the catalog and report everything that is wrong, with its position",
    "fmt": "write documents in one form: order of keys, quotes, indentation",
    "import": "write documents from what you have, again over an earlier import",
    "explain": "say what a field or a finding means, and what to do about it",
    "diff": "compare two revisions, environments or gateways, field by field",
    "plan": "show what would change on each gateway; never writes",
    "apply": "show the plan, ask, and apply it",
    "run": "reconcile the gateways until stopped, and serve the embedded one",
    "try": "send a request through the embedded gateway, and say how it was decided",
    "snapshots": "show requests that the embedded gateway answered 5xx, newest first",
    "usage": "show what callers of the embedded gateway used, by API and application",
    "render": "write what each gateway would get, as files",
    "adopt": "take ownership of objects that exist on a gateway, or write documents for them",
    "status": "show the state of the gateways, from the running process or from its store",
    "events": "show cycles, changes and conditions as they happen",
    "history": "show the cycles of the past, newest first",
    "audit": "show who did what to which object, newest first",
    "state": "list, show, forget what catalogs own on gateways",
    "gateways": "list, show, suspend, resume, forget, prune, export gateways; make keys",
    "schema": "print the JSON Schema of a kind",
    "check": "probe an address: exit 0 on a 2xx response; for images without curl",
    "completion": "print the completion script of a shell",
}

_EXAMPLES = {
    **parser_authoring.EXAMPLES,
    "import": parser_import.OPENAPI_EXAMPLES,
    **parser_watching.EXAMPLES,
    **parser_trying.EXAMPLES,
    "validate": """examples:
  stoa-gitops validate
  stoa-gitops validate --lint --ignore lint.open-api --strict
  stoa-gitops validate --fix tenants/acme
  stoa-gitops validate --output sarif > findings.sarif""",
    "plan": """examples:
  stoa-gitops plan --catalog catalog-example
  stoa-gitops plan --gateway kong-prod --out kong.plan
  stoa-gitops plan --watch --detail            # while you edit
  stoa-gitops plan --base origin/main --revision HEAD --output markdown""",
    "apply": """examples:
  stoa-gitops apply --env staging --yes
  stoa-gitops apply kong.plan            # what `plan --out kong.plan` showed, or nothing
  stoa-gitops apply --digest 9c1f0a77""",
}

_PLAN_FORMATS = ("text", "json", "jsonl", "markdown")
_FINDING_FORMATS = ("text", "json", "sarif", "junit", "github")


def build(environment: Mapping[str, str] | None = None) -> Parser:
    """Return the parser of all commands."""
    # A class attribute, because argparse makes the parsers of commands itself.
    Parser.environment = os.environ if environment is None else environment
    parser = Parser(
        prog="stoa-gitops",
        description="One Git catalog as the truth for many API gateways.",
        epilog="Every flag can be set as STOA_GITOPS_<FLAG>. "
        "`stoa-gitops COMMAND --help` says more.",
    )
    parser.add_argument("--version", action="version", version=f"stoa-gitops {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in _SUMMARIES.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=summary.capitalize() + ".",
            epilog=_EXAMPLES.get(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _ARGUMENTS[name](command)
        # On each command, so that it may stand at the end of a line that failed.
        command.flag("debug", action="store_true", help="show tracebacks and debug logs")
    return parser


def _validate(command: Parser) -> None:
    command.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="files or folders, as seen from here: report only what is wrong there (default: all)",
    )
    catalog(command, formats=_FINDING_FORMATS)
    command.flag("strict", action="store_true", help="warnings make the catalog invalid")
    command.flag("fix", action="store_true", help="repair files where only one repair can be meant")
    command.flag("lint", action="store_true", help="give advice about what is valid, as warnings")
    command.flag(
        "ignore",
        action="append",
        metavar="CODE",
        about_default="none",
        help="advice not to give, such as lint.open-api; may be repeated",
    )


def _plan(command: Parser) -> None:
    catalog(command, formats=_PLAN_FORMATS)
    state(command)
    _fields(command)
    command.flag("base", metavar="REV", help="compare with this revision; asks no gateway")
    command.flag("watch", action="store_true", help="plan again whenever the catalog changes")
    command.flag("out", metavar="FILE", help="save the plan for `apply FILE`, readable by you only")
    command.flag("detailed-exitcode", action="store_true", help="exit 2 when changes are pending")
    command.flag(
        "keep-going", action="store_true", help="plan the valid parts of an invalid catalog"
    )


def _fields(command: Parser) -> None:
    command.flag("detail", action="store_true", help="show the fields of what is created, too")
    # Its name in earlier versions.
    command.flag("fields", action="store_true", help=argparse.SUPPRESS)


def _apply(command: Parser) -> None:
    command.add_argument(
        "plan",
        nargs="?",
        metavar="FILE",
        help="a plan saved by `plan --out FILE`: apply exactly that, without asking, or refuse "
        "and say what moved since",
    )
    catalog(command, formats=("text", "json"))
    state(command)
    _fields(command)
    command.flag("yes", action="store_true", help="do not ask")
    command.flag("digest", metavar="HEX", help="apply exactly the plan with this digest")
    command.flag("force", action="store_true", help="apply what a guard holds back")
    command.flag(
        "via",
        choices=("calls", "archive"),
        default="calls",
        help="how a gateway is written to: call by call, or as one archive (webMethods)",
    )
    command.flag(
        "keep-going", action="store_true", help="apply the valid parts of an invalid catalog"
    )


def _run(command: Parser) -> None:
    catalog(command, formats=("text", "json"), filters=False)
    state(command)
    command.flag("once", action="store_true", help="one cycle of every gateway, then end")
    command.flag(
        "control-listen",
        default="127.0.0.1:8000",
        metavar="HOST:PORT",
        help="address of the control API",
    )
    command.flag(
        "public-listen",
        metavar="HOST:PORT",
        about_default="none",
        help="a second address of the control API for an ingress, without what is for gateways",
    )
    command.flag(
        "gateway-listen",
        default="127.0.0.1:8080",
        metavar="HOST:PORT",
        help="address of the embedded gateway",
    )
    command.flag(
        "workers",
        default="1",
        metavar="N",
        help="processes that serve for the embedded gateway; auto: one for each processor",
    )
    command.flag(
        "interval",
        metavar="TIME",
        about_default="each gateway's own",
        help="time between drift checks",
    )
    command.flag(
        "poll",
        default="30s",
        metavar="TIME",
        help="how often to poll a remote repository",
    )


def _render(command: Parser) -> None:
    catalog(command, formats=("text",))
    command.flag("out", required=True, metavar="DIR", help="folder to write into")


def _adopt(command: Parser) -> None:
    command.add_argument("name", metavar="GATEWAY", help="the gateway that has the objects")
    command.add_argument("keys", nargs="*", metavar="KEY", help="objects, such as api/acme/billing")
    catalog(command, formats=("text", "json"), filters=False)
    state(command)
    command.flag(
        "write", metavar="DIR", help="write documents for foreign objects into this folder"
    )
    command.flag(
        "from",
        dest="origin",  # `from` is a keyword of Python
        metavar="FILE",
        help="with --write: read a file of the gateway's vendor (for Kong: of decK, or "
        "declarative) instead of asking the gateway",
    )
    command.flag("yes", action="store_true", help="do not ask")


def _schema(command: Parser) -> None:
    command.add_argument("kind", nargs="?", metavar="KIND", help="a kind; without one: their list")
    command.flag(
        "write", metavar="DIR", help="write the schema of every kind into this folder, for editors"
    )


def _status(command: Parser) -> None:
    command.flag(
        "gateway",
        action="append",
        metavar="NAME",
        about_default="all",
        help="only this gateway; may be repeated",
    )
    command.flag(
        "env", metavar="NAME", about_default="all", help="only gateways of this environment"
    )
    command.flag(
        "tenant",
        metavar="NAME",
        about_default="all",
        help="only gateways that get something of this tenant",
    )
    command.flag("watch", action="store_true", help="show it again whenever it changes")
    command.flag("every", default="2s", metavar="TIME", help="with --watch: time between two looks")
    text_or_json(command)
    catalog_filter(command)
    state(command)


def _check(command: Parser) -> None:
    command.add_argument("url", metavar="URL", help="such as http://127.0.0.1:8000/ready")
    command.flag("timeout", default="3s", metavar="TIME", help="limit for the whole response")


def _completion(command: Parser) -> None:
    command.add_argument(
        "shell",
        nargs="?",
        choices=("bash", "zsh", "fish"),
        default="bash",
        help="whose script (default: bash)",
    )
    command.flag(
        "names",
        choices=("gateways", "tenants", "topics"),
        help="print names instead of a script: of the catalog, or what `explain` knows",
    )


_ARGUMENTS = {
    "init": parser_authoring.add_init,
    "import": parser_import.add_arguments,
    "explain": parser_authoring.add_explain,
    "diff": parser_authoring.add_diff,
    "fmt": parser_authoring.add_fmt,
    "validate": _validate,
    "plan": _plan,
    "apply": _apply,
    "run": _run,
    "try": parser_trying.add_try,
    "snapshots": parser_watching.add_snapshots,
    "usage": parser_watching.add_usage,
    "render": _render,
    "adopt": _adopt,
    "status": _status,
    "events": parser_watching.add_events,
    "history": parser_watching.add_history,
    "audit": parser_watching.add_audit,
    "state": parser_watching.add_state,
    "gateways": parser_gateways.add_arguments,
    "schema": _schema,
    "check": _check,
    "completion": _completion,
}


def subcommands(parser: Parser) -> Iterator[Parser]:
    """Yield the parser of every command, and of every verb of it."""
    for child in parser.children.values():
        yield child
        yield from subcommands(child)
