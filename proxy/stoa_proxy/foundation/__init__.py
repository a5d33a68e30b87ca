"""Package foundation."""
