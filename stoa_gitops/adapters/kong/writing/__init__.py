"""Brings changes onto a node: as whole documents or entity by entity, with errors attributed."""
