"""webMethods' objects as values: parts, names, marks, policy actions and their schemas. Pure."""
