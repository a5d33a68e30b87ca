"""Kong's entities as values: types, defaults, tags, ownership, unique fields, secrets, versions.

Nothing here knows policies, plans or how a document is written.
"""
