"""The composition root of `run`: builds the parts of the process, starts them and stops them.

Use cases are in `operations`, cycles in `reconcile`, HTTP in `control`.
"""
