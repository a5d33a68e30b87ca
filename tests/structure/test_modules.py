"""What holds for every module of the product."""

from __future__ import annotations

from tests.structure.repository import ROOT, first_sentence, modules

MODULES = dict(modules())
MOST_LINES = 400
SENTENCE_LENGTH = range(10, 101)


def test_a_module_says_in_one_short_sentence_what_it_is_for() -> None:
    sentences = {name: first_sentence(path) for name, path in MODULES.items()}
    wrong = {
        name: sentence
        for name, sentence in sentences.items()
        # A package that says only its own name says nothing.
        if len(sentence) not in SENTENCE_LENGTH or sentence.startswith("Package ")
    }
    assert not wrong, "\n".join(f"{name}: {sentence}" for name, sentence in wrong.items())


def test_a_module_is_short_enough_to_be_read_in_one_go() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: count for name, count in lengths.items() if count > MOST_LINES} == {}


def test_modules_of_all_three_packages_are_looked_at() -> None:
    roots = {name.partition(".")[0] for name in MODULES}
    assert roots == {"stoa_gitops", "stoa_proxy", "stoa_bootstrap"}
    assert ROOT / "stoa_gitops" / "errors.py" in MODULES.values()
