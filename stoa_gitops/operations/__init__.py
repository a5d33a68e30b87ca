"""Package operations."""
