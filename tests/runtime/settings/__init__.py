"""Tests of ``app/runtime/settings``, one file a module."""
