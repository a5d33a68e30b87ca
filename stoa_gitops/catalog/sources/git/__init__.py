"""Catalogs in Git repositories; the only package that runs Git."""
