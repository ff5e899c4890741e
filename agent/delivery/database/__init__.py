"""Stores of documents: etcd, CouchDB and a directory behind one protocol."""
