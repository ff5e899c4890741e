"""The document language: reading YAML and JSON, schemas, validation, and the reference made from them."""
