"""The process that a command asks what its gateways did."""

from __future__ import annotations

from argparse import Namespace

from stoa_gitops.cli.catalog_options import state_folder
from stoa_gitops.cli.flags import name_of
from stoa_gitops.cli.remote import Remote, at, find
from stoa_gitops.errors import GatewayUnreachable


def find_process(options: Namespace) -> Remote:
    """Return the process of `--control`, else the one that runs with the state folder.

    Raises GatewayUnreachable where none runs there, and UsageError for a URL that is none.
    """
    if options.control:
        from stoa_gitops.cli.settings_from_env import read_control_token

        return at(options.control, read_control_token().reveal())
    remote = find(state_folder(options))
    if remote is None:
        raise GatewayUnreachable(
            "no process runs here that could be asked: start `stoa-gitops run` with the same "
            f"--state, or name its control API by {name_of(options, 'control')}"
        )
    return remote
