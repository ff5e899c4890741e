"""Compose files and quadlets as services that run docker or podman."""
