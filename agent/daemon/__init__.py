"""ordain-agent: follows the documents and serves its D-Bus interface."""
