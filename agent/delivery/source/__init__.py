"""Sources of documents for one machine, and ordain-source, the program that fetches them."""
