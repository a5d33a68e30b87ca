"""Package git."""
