"""APIs, policies and applications of the catalog as webMethods' objects, and back. Pure."""
