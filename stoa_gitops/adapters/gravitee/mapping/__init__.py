"""APIs, plans and applications of the catalog to Gravitee's definitions, and back. Pure."""
