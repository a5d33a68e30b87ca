"""A bounded, retrying HTTP client for admin APIs that never shows a secret.

Adapters use `client.AdminClient`; the rest is how it works inside.
"""
