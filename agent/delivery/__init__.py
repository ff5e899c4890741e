"""The ways of documents to a machine: source above fleet above release above database, and the protocol below all."""
