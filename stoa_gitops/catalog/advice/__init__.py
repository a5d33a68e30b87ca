"""Advice about a valid catalog: what works, and is probably not meant. `validate --lint` shows it.

One rule for each code; `find_advice` runs them all. A code is switched off by the caller, by
`spec.lint.ignore` of the Catalog document, or in one document by the annotation
`gostoa.dev/lint-ignore`.
"""
