"""Writes APIs, policy actions, applications and what is configured for all."""
