"""`ordainctl serve`: documents, releases and prebuilt boot caches over HTTP, for machines without a database."""
