"""Proposes API documents from OpenAPI documents (`import openapi`), also over an earlier import.

`api_facts` is what a catalog can say of an OpenAPI document, `servers` and `requirements` are parts
of it, `names` finds its name, `three_way` compares with an earlier import, `written` changes a file
that people have edited. Nothing is fetched and nothing is written here.
"""
