"""Imports over earlier ones: what a person changed stays. Every form of `import` comes here."""
