"""Signed releases: manifests, signatures, channels, and their verification on a machine."""
