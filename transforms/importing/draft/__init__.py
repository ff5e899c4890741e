"""The document that an import makes, the readers of other people's YAML, and the writer of ours."""
