"""`init`: a catalog to begin with, which `run` serves at once.

`choices` holds what a person decides, `templates` makes the files from it, `writing` puts them into
a folder without overwriting anything, `repository` makes the folder a Git repository. The files
themselves lie in `files/`, as they are written but for `@name@`.
"""
