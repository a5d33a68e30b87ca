"""docs/troubleshooting.md knows every name that we print for a fault."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from stoa_gitops import errors
from stoa_gitops.model.changes import SkipReason

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "troubleshooting.md").read_text()
LOGGED = {
    f"{log}.{level}" for log in ("log", "_log") for level in ("warning", "error", "exception")
}
CODE = re.compile(r"[a-z]+\.[a-z]+(-[a-z]+)*")


def tree_of(error: type[errors.StoaGitopsError]) -> Iterator[type[errors.StoaGitopsError]]:
    yield error
    for child in error.__subclasses__():
        yield from tree_of(child)


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def sources(*folders: str) -> Iterator[ast.Module]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield parse(path)


def finding_sources() -> Iterator[ast.Module]:
    """Yield what makes findings; exporters name fields of others' documents in the same form."""
    for folder in ("stoa_gitops/catalog", "stoa_gitops/foundation"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "export" not in path.relative_to(ROOT).parts:
                yield parse(path)


def constants(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def codes() -> set[str]:
    """Codes of findings: words in calls (`Finding("schema.type", …)`) and in what is assigned to
    `code`.
    """
    found: set[str] = set()
    for module in finding_sources():
        for node in ast.walk(module):
            if isinstance(node, ast.Call):
                words = (arg.value for arg in node.args if isinstance(arg, ast.Constant))
                found |= {word for word in words if isinstance(word, str)}
            elif isinstance(node, ast.Assign) and "code" in ast.unparse(node.targets[0]):
                found |= set(constants(node.value))
    # Raised for a vendor's file, where `adopt` shows its message and no code.
    found -= {"yaml.documents"}
    files = (".yaml", ".yml", ".json")
    return {word for word in found if CODE.fullmatch(word) and not word.endswith(files)}


def families() -> set[str]:
    """First words of codes that are put together where they are needed."""
    found = set()
    for module in finding_sources():
        for node in ast.walk(module):
            if isinstance(node, ast.Call):
                parts = list(node.args)
            elif isinstance(node, ast.Assign) and "code" in ast.unparse(node.targets[0]):
                parts = [node.value]
            else:
                continue
            for part in parts:
                if isinstance(part, ast.JoinedStr) and isinstance(part.values[0], ast.Constant):
                    start = str(part.values[0].value)
                    found |= {start} if re.fullmatch(r"[a-z]+\.", start) else set()
    return found


def reasons() -> set[str]:
    """Reasons: the class attributes of every error of the package, wherever it is defined."""
    found = {error.reason for error in tree_of(errors.StoaGitopsError)}
    for module in sources("stoa_gitops"):
        for node in ast.walk(module):
            if not isinstance(node, ast.ClassDef):
                continue
            for item in node.body:
                target = item.target if isinstance(item, ast.AnnAssign) else None
                names = item.targets if isinstance(item, ast.Assign) else [target]
                if any(isinstance(n, ast.Name) and n.id == "reason" for n in names):
                    value = getattr(item, "value", None)
                    if isinstance(value, ast.Constant) and value.value:
                        found.add(str(value.value))
    return found | {reason.value for reason in SkipReason}


def titles() -> set[str]:
    """Titles of the data plane's own answers."""
    found = set()
    for module in sources("proxy/stoa_proxy"):
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "problem",
                "RequestRefused",
            ):
                title = node.args[1]
            elif isinstance(node, ast.Tuple) and len(node.elts) == 3:
                status, title, _ = node.elts
                if not (isinstance(status, ast.Constant) and isinstance(status.value, int)):
                    continue
            else:
                continue
            if isinstance(title, ast.Constant) and isinstance(title.value, str):
                found.add(title.value)
    return found


def warnings() -> set[str]:
    """Words of what is logged from warnings on: of each line the longest part that is always the
    same.
    """
    found = set()
    for module in sources("stoa_gitops", "proxy/stoa_proxy"):
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in LOGGED:
                words = node.args[0]
                if isinstance(words, ast.Constant):
                    parts = re.split(r"%[-+.0-9]*[a-z]", str(words.value).replace("`", ""))
                    found.add(max(parts, key=len).strip(" :;,()"))
    return found - {""}


def test_the_search_finds_what_there_is() -> None:
    assert "was removed from the catalog; its objects are left in place" in " ".join(warnings())
    assert len(codes()) > 60
    assert {"schema.type", "schema.range", "schema.length", "file.symlink"} <= codes()
    assert families() == {"limit."}
    assert "Backend address refused" in titles()
    assert {"StoreTooNew", "ListenFailed", "OtherTenant", "InternalError"} <= reasons()
    assert "No matching API route" in titles()


def unexplained(names: set[str], row: str = "`{}`") -> list[str]:
    """Return the names without a row of a table; `row` is how its first cell begins."""
    lines = [line for line in TEXT.splitlines() if re.fullmatch(r"\| .+ \| .+ \| .+ \|", line)]
    firsts = "\n".join(line.split(" | ")[0] for line in lines)
    pattern = row.replace("{}", "%s")
    return [
        name
        for name in sorted(names)
        if not re.search(rf"^\| {pattern % re.escape(name)}$", firsts, re.MULTILINE)
    ]


def test_every_code_of_a_finding_is_explained() -> None:
    assert unexplained(codes()) == []


def test_every_warning_of_the_log_is_explained() -> None:
    rows = TEXT[TEXT.index("## Warnings in the log") :].replace("`", "").splitlines()
    firsts = [row.split(" | ")[0] for row in rows if row.startswith("| ")]
    assert [words for words in sorted(warnings()) if not any(words in one for one in firsts)] == []


def test_every_reason_is_explained() -> None:
    assert unexplained(reasons()) == []


def test_every_answer_of_the_data_plane_is_explained() -> None:
    assert unexplained(titles(), r"\d+ {}.*") == []


def test_codes_that_are_put_together_are_explained() -> None:
    assert unexplained(families(), "`{}[a-z]+`") == []


@pytest.mark.parametrize("page", ["ci", "operations", "troubleshooting"])
def test_links_lead_somewhere(page: str) -> None:
    def anchors(path: Path) -> set[str]:
        heads = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
        return {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}

    text = (ROOT / "docs" / f"{page}.md").read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        name, _, anchor = target.partition("#")
        path = ROOT / "docs" / (name or f"{page}.md")
        assert path.is_file(), target
        assert not anchor or anchor in anchors(path), target
