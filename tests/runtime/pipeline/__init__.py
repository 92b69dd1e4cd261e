"""Tests of ``app/runtime/pipeline``."""
