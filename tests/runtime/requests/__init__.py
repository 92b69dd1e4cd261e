"""Tests of ``app.runtime.requests``, module by module, on a real Redis."""
