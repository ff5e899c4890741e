"""The ways of documents to a machine: sources above fleet, identity, release, setup, database and the protocol."""
