"""Tests of ``app.runtime.api``, module by module."""
