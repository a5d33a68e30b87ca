"""The site is built strictly: every link of it leads somewhere, every command of a page does what
the page says, and nothing is loaded from elsewhere.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What a browser fetches by itself, other than links for people to follow.
FETCHED = re.compile(r"""(?:\bsrc=|<link[^>]+href=|url\()["']?(?:https?:)?//[^"' )>]+""")


def build(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-d", str(folder), *arguments],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


@pytest.mark.heavy
def test_the_site_is_whole_and_shows_what_happened(tmp_path: Path) -> None:
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 60
    loaded = {
        found
        for page in [*pages, *tmp_path.rglob("*.svg")]
        for found in FETCHED.findall(page.read_text("utf-8"))
        if "www.w3.org" not in found
    }
    assert loaded == set()
    tutorial = (tmp_path / "tutorial.html").read_text("utf-8")
    names = re.findall(r'src="(screenshots/\w+\.svg)"', tutorial)
    assert len(names) > 8
    shown = "".join((tmp_path / name).read_text("utf-8").replace("&#160;", " ") for name in names)
    assert "without a key: 401" in shown
    assert "with the key: 200" in shown


@pytest.mark.heavy
def test_a_page_whose_command_fails_is_not_built(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "index.md"
    config = f"site_name: a site\ndocs_dir: docs\nhooks: ['{ROOT / 'docs/site/hooks.py'}']\n"
    (tmp_path / "mkdocs.yml").write_text(config)
    page.write_text("# A page\n\n```terminal\nstoa-gitops validate --catalog nowhere\n```\n")
    done = build(tmp_path / "site", "-f", str(tmp_path / "mkdocs.yml"))
    assert done.returncode != 0
    assert "index.md: stoa-gitops validate --catalog nowhere\nended with" in done.stderr
