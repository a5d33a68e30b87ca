"""Settings from variables: blanks count for nothing, and what is wrong is named."""

from __future__ import annotations

import pytest
from stoa_proxy.errors import ConfigInvalid
from stoa_proxy.foundation.environment import read_flag, read_list, read_number, read_text


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_a_blank_variable_is_none(blank: str) -> None:
    env = {"X": blank}
    assert read_text(env, "X") is None
    assert read_number(env, "X") is None
    assert read_list(env, "X") == ()
    assert read_flag(env, "X", default=True) is True
    assert read_flag({}, "X", default=False) is False


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("1", True), ("no", False)])
def test_flags_are_read_in_the_usual_spellings(text: str, value: bool) -> None:
    assert read_flag({"X": text}, "X", default=not value) is value


@pytest.mark.parametrize("text", ["1.5", "-1", "1e3", "٣", "1234567890", "one"])
def test_a_number_is_whole_and_small(text: str) -> None:
    with pytest.raises(ConfigInvalid, match="X must be a whole number"):
        read_number({"X": text}, "X")


def test_a_list_is_parted_at_commas() -> None:
    assert read_list({"X": " a, b ,,c"}, "X") == ("a", "b", "c")
