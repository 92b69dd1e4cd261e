"""Tests of ``app/runtime/pipeline``, one file a module."""
