"""Package drivers."""
