"""The packages of a machine: compared with those that documents want, and installed by the system's package manager."""
