"""Commands for those who write a catalog, and their flags."""

from __future__ import annotations

from stoa_gitops.cli.flags import DEFAULT_CATALOG, Parser, state, text_or_json

EXAMPLES = {
    "init": """examples:
  stoa-gitops init shop
  stoa-gitops init shop --tenant acme --api orders --backend https://orders.acme.example --yes
  stoa-gitops init --ci gitlab --yes     # in the current, empty folder""",
    "fmt": """examples:
  stoa-gitops fmt                            # every document below the current folder
  stoa-gitops fmt --check tenants/acme       # in CI: exit 2 where something would change
  stoa-gitops fmt --diff
  stoa-gitops fmt - < api.yaml               # for editors""",
    "diff": """examples:
  stoa-gitops diff main HEAD                 # two revisions
  stoa-gitops diff HEAD                      # a revision and the files as they are
  stoa-gitops diff --env dev --env prod
  stoa-gitops diff v1.2 --gateway kong-eu --gateway kong-us --output markdown""",
    "explain": """examples:
  stoa-gitops explain API.spec.backend       # a field, as kubectl explain
  stoa-gitops explain rate_limit.window      # of a policy's config
  stoa-gitops explain kong                   # options of a gateway type, what it can do
  stoa-gitops explain schema.type ref.api    # findings of `validate`""",
}


def add_init(command: Parser) -> None:
    """Add what a person may decide; the rest is asked on a terminal, or has its default."""
    command.add_argument(
        "folder",
        nargs="?",
        default=".",
        metavar="DIR",
        help="a new or empty folder (default: current folder)",
    )
    command.flag(
        "name",
        metavar="NAME",
        about_default="that of the folder",
        help="of the catalog; part of every mark on a gateway",
    )
    command.flag("tenant", metavar="NAME", about_default="acme", help="the first tenant")
    command.flag("api", metavar="NAME", about_default="hello", help="its first API")
    command.flag(
        "backend", metavar="URL", about_default="the built-in echo", help="what stands behind it"
    )
    command.flag(
        "ci",
        choices=("github", "gitlab", "none"),
        about_default="as the remote `origin` suggests, or github",
        help="for whom to write a CI job",
    )
    command.flag("vcs", choices=("git", "none"), default="git", help="make the folder a repository")
    text_or_json(command)
    command.flag("yes", action="store_true", help="do not ask: take the defaults")


def add_explain(command: Parser) -> None:
    """Add what is to be explained."""
    command.add_argument(
        "topics",
        nargs="*",
        metavar="TOPIC",
        help="KIND[.FIELD…], a policy or gateway type, or the code of a finding (default: a list)",
    )
    text_or_json(command)


def add_fmt(command: Parser) -> None:
    """Add what is formatted, and whether it is written."""
    command.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="files or folders, or - for stdin to stdout (default: current folder)",
    )
    command.flag("check", action="store_true", help="write nothing; exit 2 where it would")
    command.flag("diff", action="store_true", help="write nothing; print the differences")
    text_or_json(command)


def add_diff(command: Parser) -> None:
    """Add what is compared, and what of it."""
    command.add_argument(
        "revisions", nargs="*", metavar="REV", help="branches, tags or commits, or REV..REV"
    )
    command.flag(
        "catalog",
        default=DEFAULT_CATALOG,
        metavar="WHERE",
        about_default="current folder",
        help="a folder, a Git URL, or a folder in a repository",
    )
    for name, noun in (("env", "environment"), ("gateway", "gateway")):
        command.flag(
            name,
            action="append",
            metavar="NAME",
            about_default="all",
            help=f"only this {noun}; twice: compare the two",
        )
    command.flag("tenant", metavar="NAME", about_default="all", help="limit to one tenant")
    command.flag(
        "output", choices=("text", "json", "markdown"), default="text", help="form of the result"
    )
    command.flag("detailed-exitcode", action="store_true", help="exit 2 when something differs")
    command.flag(
        "keep-going", action="store_true", help="compare the valid parts of an invalid catalog"
    )
    state(command)
