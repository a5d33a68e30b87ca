"""Hooks of MkDocs: pages made from the program, pages that lie beside the code, and screenshots.

Pages are written for a reader of the repository, and read there as they are. For the site

- links to what lies outside `docs` lead to that page where the site has it, and are plain text
  otherwise: the site is read where the repository may not be;
- the blocks that `terminal.py` describes are run, and what they showed becomes a screenshot.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from pathlib import Path

import reference
import terminal
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# Pages beside the code, and where they are on the site.
BESIDE = {
    "stoa_gitops/adapters/gravitee/README.md": "gateways/gravitee.md",
    "stoa_gitops/adapters/kong/README.md": "gateways/kong.md",
    "stoa_gitops/adapters/stoa/README.md": "gateways/stoa.md",
    "stoa_gitops/adapters/webmethods/README.md": "gateways/webmethods.md",
    "proxy/stoa_proxy/README.md": "gateways/data-plane.md",
    "benchmarks/README.md": "benchmarks.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)#\s]*)(#[^)\s]*)?\)")
CODE = re.compile(r"^(```|~~~).*?^\1[^\n]*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)

_sources = {place: source for source, place in BESIDE.items()}
_screenshots: dict[str, str] = {}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and the screenshots. Raises PluginError where a block fails."""
    for source, place in BESIDE.items():
        text = (ROOT / source).read_text("utf-8")
        files.append(File.generated(config, place, content=text))
    for place, text in (
        ("reference/commands.md", reference.commands_page()),
        ("reference/findings.md", reference.findings_page()),
    ):
        files.append(File.generated(config, place, content=text))
    for file in list(files.documentation_pages()):
        if file.src_uri not in _sources:
            for name, screenshot in _draw(file).items():
                files.append(File.generated(config, name, content=screenshot))
    return files


def _draw(file: File) -> dict[str, str]:
    """Run the blocks of a page, and return its screenshots by name."""
    blocks = list(terminal.blocks_of(file.content_string))
    drawn: dict[str, str] = {}
    if all(block.path for _, block in blocks):
        return drawn
    session = terminal.Terminal()
    try:
        for text, block in blocks:
            shown = session.run(block)
            key = hashlib.sha256((file.src_uri + text).encode()).hexdigest()[:12]
            name = f"screenshots/{key}.svg"
            if shown.strip() and "hidden" not in block.words:
                _screenshots[file.src_uri + text] = name
                drawn[name] = terminal.draw(shown, f"t{key}")
    except terminal.BlockFailed as failed:
        raise PluginError(f"{file.src_uri}: {failed}") from None
    finally:
        session.close()
    return drawn


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show blocks with their screenshots, and lead links to where the site has what they name."""
    here = page.file.src_uri
    for text, block in terminal.blocks_of(markdown):
        markdown = markdown.replace(text, _show(here, text, block), 1)
    parts, end = [], 0
    for code in CODE.finditer(markdown):
        parts += [_relink(markdown[end : code.start()], here, files), code[0]]
        end = code.end()
    return "".join([*parts, _relink(markdown[end:], here, files)])


def _show(here: str, text: str, block: terminal.Block) -> str:
    if block.path:
        return text
    if "hidden" in block.words:
        return ""
    shown = "" if "stop" in block.words else f"```bash\n{block.commands}```\n"
    screenshot = _screenshots.get(here + text)
    if screenshot is not None:
        way = posixpath.relpath(screenshot, posixpath.dirname(here) or ".")
        first = block.commands.strip().partition("\n")[0].replace("]", "")
        shown += f"\n![What the terminal shows: {first}]({way}){{ .terminal }}\n"
    return shown


def _relink(text: str, here: str, files: Files) -> str:
    source = _sources.get(here, f"docs/{here}")

    def lead(found: re.Match[str]) -> str:
        mark, words, target, anchor = found.groups()
        if not target or "://" in target or target.startswith(("mailto:", "screenshots/")):
            return found[0]
        named = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        place = BESIDE.get(named)
        if place is None and named.startswith("docs/"):
            inside = named.removeprefix("docs/")
            # A folder stands for its page.
            places = (inside, posixpath.join(inside, "README.md"))
            place = next((one for one in places if files.get_file_from_path(one)), None)
        if place is None:
            return found[0] if mark else words
        way = posixpath.relpath(place, posixpath.dirname(here) or ".")
        return f"{mark}[{words}]({way}{anchor or ''})"

    return LINK.sub(lead, text)
