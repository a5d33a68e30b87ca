"""Everything that an adapter author imports: the contract, results, HTTP, applying changes.

It knows no vendor and no catalog; adapters/ holds the vendors, drivers/ the only callers.
"""
