"""Tests of ``app.runtime.api.server``, module by module."""
