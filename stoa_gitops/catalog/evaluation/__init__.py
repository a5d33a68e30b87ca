"""What one document means by itself in one environment: the parts that modules of kinds are made
of.

An environment's patches and variables are applied, fields are checked, and a definition is made.
What other documents say about it is not looked at here; that is `resolution`.
"""
