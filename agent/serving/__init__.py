"""`ordainctl serve`: the reference boot server, enough for a lab."""
