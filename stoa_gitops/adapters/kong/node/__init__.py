"""Package node."""
