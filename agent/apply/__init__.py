"""One apply: place, act, prove, and roll back when a service does not come up."""
