"""What documents mean together: references, collisions, and the objects that each gateway should
have.

Kept from tree to tree and brought up to date by the documents that changed.
"""
