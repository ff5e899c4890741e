"""ordainctl: one module per group of commands."""
