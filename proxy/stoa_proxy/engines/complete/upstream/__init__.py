"""Package upstream."""
