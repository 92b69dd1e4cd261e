"""From bare Python to a running service."""
