"""The durable life of a request: accepted, queued, begun, finished, cancelled, recovered."""
