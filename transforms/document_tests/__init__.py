"""Tests of documents: what a machine must get from them."""
