"""Package yaml."""
