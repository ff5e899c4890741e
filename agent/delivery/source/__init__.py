"""Sources of documents for one machine: directories, boot servers, stores, and the documents of the boot."""
