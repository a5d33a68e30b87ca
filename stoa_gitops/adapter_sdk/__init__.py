"""Package adapter_sdk."""
