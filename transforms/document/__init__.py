"""The document language: the table of its keys, the readers of YAML and JSON, the schemas and the validation.

`reader.read` turns the bytes of a file into documents in canonical form. The package builds on `systemd`, since values
of documents must fit its syntax.
"""
