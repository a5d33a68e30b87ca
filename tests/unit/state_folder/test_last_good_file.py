from __future__ import annotations

import json
import logging
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoa_gitops.model.grants import Grants, TenantGrants
from stoa_gitops.model.instances import (
    DegradedRule,
    GatewayAuth,
    GatewayInstance,
    GatewayTls,
    PruneBudget,
    RegistrationMatch,
    RegistrationRules,
    WritePolicy,
)
from stoa_gitops.model.resources import SourceRef
from stoa_gitops.model.secret import SecretRef
from stoa_gitops.model.secret_rights import SecretRights
from stoa_gitops.reconcile.fallback_catalog import LastKnownGood
from stoa_gitops.state_folder import last_good_file as last_good

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
refs = st.builds(SecretRef, st.sampled_from(["env", "file"]), words)
names = st.lists(words, max_size=3).map(tuple)
gateways = st.builds(
    GatewayInstance,
    name=words,
    gateway_type=words,
    environment=words,
    base_url=words,
    source=st.builds(SourceRef, words, st.integers(1, 99), st.integers(1, 99)),
    display_name=words,
    public_url=words,
    capabilities=names,
    auth=st.builds(GatewayAuth, words, st.dictionaries(words, refs, max_size=3), words),
    tls=st.none()
    | st.builds(GatewayTls, st.none() | refs, st.none() | refs, st.none() | refs, words),
    policy=st.sampled_from(WritePolicy),
    prune=st.builds(PruneBudget, st.none() | st.integers(0, 9), st.none() | st.integers(0, 100)),
    interval=st.floats(0.1, 1e6),
    tenants=names,
    backends_allow=names,
    backends_deny=names,
    wave=st.integers(0, 9),
    suspended=st.booleans(),
    options=st.dictionaries(words, words | st.integers() | st.booleans(), max_size=3),
    registration=st.builds(
        RegistrationRules,
        st.none() | st.builds(RegistrationMatch, words, words),
        names,
        st.floats(1, 1e6),
        st.builds(DegradedRule, st.floats(0, 1), st.integers(1, 9), st.integers(1, 9)),
        st.none() | refs,
    ),
)
rights = st.builds(
    SecretRights,
    st.builds(
        Grants,
        st.dictionaries(words, st.builds(TenantGrants, names, names, names, names), max_size=3),
    ),
    st.frozensets(words, max_size=3),
    st.frozensets(words, max_size=3),
)
lasts = st.builds(
    LastKnownGood,
    words,
    words,
    names,
    st.lists(gateways, max_size=3).map(tuple),
    rights,
    st.booleans(),
)


@given(lasts)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, last: LastKnownGood
) -> None:
    folder = tmp_path_factory.mktemp("state")
    last_good.write_last_good(folder, last)
    assert last_good.read_last_good(folder) == last


def test_it_is_for_its_owner_only_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    last_good.write_last_good(tmp_path, LastKnownGood("default", "main@1", (), ()))
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1}', "null"])
def test_a_file_that_is_damaged_or_of_another_version_is_not_used(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / last_good.FILE).write_text(text)
    assert last_good.read_last_good(tmp_path) is None


def test_a_field_that_a_later_version_added_is_not_guessed_about(tmp_path: Path) -> None:
    gateway = GatewayInstance("kong", "kong", "dev", "http://k", SourceRef("g.yaml"))
    last_good.write_last_good(tmp_path, LastKnownGood("default", "main@1", (), (gateway,)))
    file = tmp_path / last_good.FILE
    document = json.loads(file.read_text())
    document["gateways"][0]["later"] = True
    file.write_text(json.dumps(document))
    assert last_good.read_last_good(tmp_path) is None


def test_a_folder_that_cannot_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        last_good.write_last_good(tmp_path / "nowhere", LastKnownGood("default", "main@1", (), ()))
    assert "cannot be written" in caplog.text
