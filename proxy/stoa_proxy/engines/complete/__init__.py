"""Package complete."""
