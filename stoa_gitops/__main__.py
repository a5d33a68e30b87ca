"""`python -m stoa_gitops`."""

from __future__ import annotations

from stoa_gitops.cli.main import process

process()
