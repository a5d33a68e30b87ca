"""`python -m stoa_gitops`."""

from __future__ import annotations

import sys

from stoa_gitops.cli.main import main

sys.exit(main())
