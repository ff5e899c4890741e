"""ordainctl: a package for each group of commands; the modules here are what they share."""
