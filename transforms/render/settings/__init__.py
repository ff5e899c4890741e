"""Neutral settings of documents as the files, parameters, directives and states that a system needs for them."""
