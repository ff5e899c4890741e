"""The section `services`: units, their directives, sockets and timers, health checks, drop-ins for packages."""
