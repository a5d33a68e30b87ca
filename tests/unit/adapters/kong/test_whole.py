"""Ids in an export of a node: those of entities, and of nothing that a text says."""

from __future__ import annotations

from stoa_gitops.adapters.kong.node.whole import ExportedId, exported_ids

ONE = "a58739dc-9e4e-5087-981f-c0edf6e76f38"
TWO = "7f7e4f2c-5a39-4b5e-9a55-0d5c3f6f2c11"
EXPORT = f"""_transform: false
_format_version: '3.0'
consumers:
- id: {ONE}
  username: a
plugins:
- name: request-termination
  config:
    body: |-
      - id: {ONE}
        id: {ONE}
      services:
      - id: 00000000-0000-4000-8000-000000000000
  id: '{TWO}'
  service: {ONE}
  upstream: {ONE}
targets:
- weight: 5
  upstream: {ONE}
  id: {TWO}
- id: {ONE}
  tags:
  - 'id: {TWO}'
"""


def test_ids_of_entities_are_told_from_texts() -> None:
    assert list(exported_ids(EXPORT)) == [
        ExportedId("consumers", ONE), ExportedId("plugins", TWO),
        ExportedId("targets", TWO, ONE), ExportedId("targets", ONE),
    ]  # fmt: skip
    assert not list(exported_ids("_transform: false\n_format_version: '3.0'\n"))
