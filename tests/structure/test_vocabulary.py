"""Code, docs and help keep to docs/vocabulary.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.structure.repository import ROOT, files_below

PAGE = ROOT / "docs" / "vocabulary.md"
FOLDERS = ("stoa_gitops", "proxy", "bootstrap", "schemas", "docs", "benchmarks", "deploy", "tests")
PAGES = ("README.md", "CONTRIBUTING.md")

# Files, or folders with everything in them, that are not searched, each with its reason.
ALLOWED = {
    "docs/vocabulary.md": "lists the words",
    "tests/structure/test_vocabulary.py": "tries them out",
    "tests/adapters/kong/test_recordings.py": "`scene` is a field of the recordings",
}


def forbidden_words() -> list[str]:
    """Return the words in `code type` in the last column of the page's tables."""
    rows = (line for line in PAGE.read_text().splitlines() if line.startswith("| "))
    return [word for row in rows for word in re.findall("`([^`]+)`", row.rsplit("|", 2)[1])]


def find_words(text: str, words: list[str]) -> Iterator[tuple[int, str]]:
    """Yield line and word of each use; names are taken apart: `judge_all`, `JudgeError`."""
    alternatives = "|".join(re.escape(word) for word in words)
    pattern = re.compile(rf"(?<![a-z])({alternatives})(?![a-z])", re.IGNORECASE)
    for number, line in enumerate(text.splitlines(), 1):
        for match in pattern.findall(re.sub("(?<=[a-z0-9])(?=[A-Z])|_", " ", line)):
            yield number, match.lower()


def searched_files() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in files_below(ROOT / folder, ".py", ".md", ".json"):
            if not path.relative_to(ROOT).as_posix().startswith(tuple(ALLOWED)):
                yield path
    yield from (ROOT / page for page in PAGES)


def test_no_file_uses_a_word_that_the_vocabulary_replaces() -> None:
    words = forbidden_words()
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in searched_files()
        for line, word in find_words(path.read_text(), words)
    ]
    assert not found, "docs/vocabulary.md has other words for:\n" + "\n".join(found)


def test_words_are_found_in_text_and_in_names() -> None:
    text = "def judge_all(): ...\nclass JudgeError: ...\nMend it.\nmendelian, prejudge, a_culprit"
    found = list(find_words(text, ["judge", "mend", "culprit"]))
    assert found == [(1, "judge"), (2, "judge"), (3, "mend"), (4, "culprit")]


def test_the_page_lists_words_to_look_for() -> None:
    assert {"mend", "judge", "fallout"} < set(forbidden_words())
