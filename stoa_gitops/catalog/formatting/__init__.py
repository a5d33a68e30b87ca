"""Formats documents: keys in order, quotes, indentation, blank lines. Values and comments stay.

    text -> parsing (lines to nodes, comments with them) -> writing (in the order of shapes) -> text

It works on lines and not on the tree that a parser of YAML returns, which has no comments, or costs
milliseconds for each document to keep them. What the line parser does not know (tags, keys over
several lines …) is left as it is. `formatter` compares what both texts mean, by the parsers that
read catalogs, and keeps the text where the meaning, or a comment, would not be the same.
"""
