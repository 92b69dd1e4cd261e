"""From a bare Python to a running service."""
