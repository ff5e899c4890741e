"""Commands on a document store: documents, releases, the store itself."""
