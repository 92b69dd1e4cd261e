"""The HTTP API: verify requests, queue them, answer."""
