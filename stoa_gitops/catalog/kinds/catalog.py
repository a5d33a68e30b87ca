"""The Catalog document: its name is the owner of everything that it creates on gateways."""

from __future__ import annotations

from stoa_gitops.catalog.evaluation.kind import DocumentKind

KIND = DocumentKind(name="Catalog", home="catalog.yaml", order=10, takes_variables=False)
