"""Commands of a boot server: serve, images."""
