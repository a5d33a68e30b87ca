"""Package declarative."""
