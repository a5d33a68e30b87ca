"""Package kinds."""
