"""Losses: one object whose check fails is held back by itself."""

from __future__ import annotations

import logging

import pytest

from stoa_gitops.adapter_sdk.guarded_losses import guarded
from stoa_gitops.model.canonical import JsonObject
from stoa_gitops.model.losses import Loss


def find_losses(kind: str, spec: JsonObject) -> tuple[Loss, ...]:
    return (Loss(f"no {kind} is as long as {int(str(spec['length']))}"),)


def test_an_unexpected_error_at_one_object_holds_it_back_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    find = guarded(find_losses)
    with caplog.at_level(logging.ERROR):
        (loss,) = find("policy", {"length": "long"})
    assert loss == Loss("unexpected error while checking it (ValueError)")
    assert "unexpected error while checking one policy" in caplog.text
    assert find("policy", {"length": 3}) == (Loss("no policy is as long as 3"),)
