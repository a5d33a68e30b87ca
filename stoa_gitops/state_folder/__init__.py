"""Files of the state folder beside the store: lock, runtime addresses, control token, last good.

The database and the key of secret hashes in the same folder belong to `store`.
"""
