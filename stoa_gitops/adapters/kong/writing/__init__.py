"""Package writing."""
