"""One Git catalog as the truth for many API gateways."""
