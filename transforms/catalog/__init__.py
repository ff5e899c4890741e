"""The transformation database: what each system calls its services, users, paths and packages."""
