"""Tests of ``app.runtime.worker``, module by module."""
