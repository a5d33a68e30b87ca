"""Keys of gateways from a variable and from a file that changes while the process runs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from stoa_gitops.control.auth import NO_KEYS, Credentials
from stoa_gitops.daemon.gateway_keys import KeySettings, LiveKeys
from stoa_gitops.model.secret import Secret

ONE = "gw_dev_" + "1" * 32
TWO = "gw_prod_" + "2" * 32


class World:
    """Live keys over a file; `is_live` says what the listener would say."""

    def __init__(self, file: Path | None, text: str | None = None) -> None:
        self.credentials = Credentials(Secret("a-control-token"))
        settings = KeySettings(Secret(text) if text is not None else None, file)
        self.keys = LiveKeys(settings, self.credentials)
        self.keys.load()

    def is_live(self, key: str) -> bool:
        keys = self.credentials.gateway_keys
        return keys is not None and keys.find(key) is not None

    async def settle(self) -> None:
        for _ in range(2):
            await self.keys.look()

    def value(self, name: str) -> float:
        (sample,) = next(m for m in self.keys.metrics() if m.name == name).samples
        return sample.value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "keys"
    found.write_text(ONE)
    return found


def test_nothing_configured_is_no_trouble_and_no_key() -> None:
    world = World(None)
    assert world.credentials.gateway_keys is None
    assert world.credentials.no_keys == NO_KEYS
    assert world.keys.troubles() == []
    assert world.value("stoa_gitops_gateway_keys") == 0


def test_documents_for_gateways_that_cannot_register_are_a_trouble(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = World(None).keys
    for _ in range(2):  # the same catalog again is no news
        keys.expect(["mobile", "edge"])
    [trouble] = keys.troubles()
    assert trouble.endswith("and documents are for some: edge, mobile")
    assert [one.message for one in caplog.records] == [trouble]
    keys.expect([])
    assert keys.troubles() == []
    with_keys = World(file).keys
    with_keys.expect(["edge"])
    assert with_keys.troubles() == []


def test_a_variable_has_several_keys_and_its_problems_are_said_by_position(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(None, f"{ONE}, {TWO},short,h\u00e9ader\u00e9-key-of-more-than-24")
    assert [world.is_live(key) for key in (ONE, TWO, "short")] == [True, True, True]
    assert world.value("stoa_gitops_gateway_keys") == 3
    assert "GATEWAY_API_KEYS: key 3 has 5 characters" in caplog.text
    assert "GATEWAY_API_KEYS: key 4 has characters that no header can carry" in caplog.text
    assert "h\u00e9ader" not in caplog.text


def test_a_variable_without_a_usable_key_says_so() -> None:
    world = World(None, "\u00e9\u00e9\u00e9")
    assert world.credentials.gateway_keys is None
    assert "GATEWAY_API_KEYS has no key" in world.credentials.no_keys


def test_the_file_wins_over_the_variable(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(file, TWO)
    assert [world.is_live(key) for key in (ONE, TWO)] == [True, False]
    assert "GATEWAY_API_KEYS_FILE is set, too: GATEWAY_API_KEYS is not used" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        f"{ONE}\n{TWO}\n".encode(), f"{ONE},{TWO}".encode(), f"\ufeff{ONE}\r\n{TWO}\r\n".encode(),
        f"  {ONE} , ,\n\n{TWO}\t\n".encode(),
    ],
    ids=["lines", "commas", "BOM and CRLF", "blanks"],
)  # fmt: skip
async def test_keys_of_a_file_are_rotated_without_a_restart(file: Path, content: bytes) -> None:
    world = World(file)
    file.write_bytes(content)
    await world.settle()
    assert [world.is_live(key) for key in (ONE, TWO)] == [True, True]
    file.write_text(TWO)
    await world.settle()
    assert [world.is_live(key) for key in (ONE, TWO)] == [False, True]


async def test_a_content_that_is_seen_once_is_not_in_force_yet(file: Path) -> None:
    world = World(file, None)
    file.write_text(f"{ONE},{TWO}")
    await world.settle()
    file.write_text(TWO)  # half of what a writer writes
    await world.keys.look()
    file.write_text(f"{TWO},{ONE}")
    await world.keys.look()
    assert world.is_live(ONE)
    await world.keys.look()
    assert [world.is_live(key) for key in (ONE, TWO)] == [True, True]


async def test_a_swapped_symlink_is_followed(tmp_path: Path) -> None:
    for name, key in (("first", ONE), ("second", TWO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys").write_text(key)
    data, file = tmp_path / "..data", tmp_path / "keys"
    data.symlink_to("first")
    file.symlink_to("..data/keys")
    world = World(file)
    (tmp_path / "new").symlink_to("second")
    (tmp_path / "new").rename(data)
    await world.settle()
    assert [world.is_live(key) for key in (ONE, TWO)] == [False, True]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"), (b" \n,\n", "has no key"), (b"\xff\xfe" + ONE.encode(), "no text"),
        (None, "cannot be read"), (b"x" * (2 << 20), "has over"), ("é".encode(), "has no key"),
    ],
)  # fmt: skip
async def test_a_file_that_cannot_be_used_keeps_the_last_good_keys_and_is_a_trouble(
    file: Path, content: bytes | None, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(file)
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    await world.settle()
    await world.settle()
    assert world.is_live(ONE)
    (trouble,) = world.keys.troubles()
    assert why in trouble
    assert str(file) in trouble
    assert world.value("stoa_gitops_gateway_keys_file_unusable") == 1
    said = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.message for record in said] == [trouble], "said once, not with each look"
    assert "may stand in GATEWAY_API_KEYS_FILE" in world.credentials.keys_in_doubt
    assert str(file) not in world.credentials.keys_in_doubt, "anybody gets that for an answer"
    file.write_text(TWO)
    await world.settle()
    assert world.is_live(TWO)
    assert world.keys.troubles() == []
    assert world.credentials.keys_in_doubt == ""


async def test_a_file_that_is_not_there_yet_leaves_no_key_until_it_is(tmp_path: Path) -> None:
    world = World(tmp_path / "keys", TWO)
    assert not world.is_live(TWO), "the file wins, also while it is missing"
    assert "GATEWAY_API_KEYS_FILE cannot be used" in world.credentials.no_keys
    assert str(tmp_path) not in world.credentials.no_keys, "anybody gets that for an answer"
    assert "no gateway can register" in world.keys.troubles()[0]
    (tmp_path / "keys").write_text(ONE)
    await world.settle()
    assert world.is_live(ONE)


async def test_no_key_is_in_any_log_or_trouble(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = World(file, TWO)
    file.write_text(f"{ONE} {TWO}")
    await world.settle()
    text = caplog.text + str(world.keys.troubles()) + repr(world.credentials)
    assert ONE not in text
    assert TWO not in text


async def test_an_unknown_key_is_in_doubt_until_a_new_content_is_in_force(file: Path) -> None:
    world = World(file)
    assert world.credentials.keys_in_doubt == ""
    file.write_text(f"{ONE},{TWO}")
    await world.keys.look()
    assert "has changed" in world.credentials.keys_in_doubt
    assert str(file) not in world.credentials.keys_in_doubt
    file.write_text(ONE)
    await world.settle()
    assert world.credentials.keys_in_doubt == "", "as it was before"
