"""Tests of ``app/runtime/worker``, one file a module."""
