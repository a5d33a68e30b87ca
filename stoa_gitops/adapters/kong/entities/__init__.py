"""Package entities."""
