"""Where catalogs are read from: a folder on disk, a Git repository on disk, a remote one.

A source gives immutable trees of files; what the files mean is not looked at here.
"""
