"""Documents in, artifacts out: the transformation database and the pure code that applies it."""
