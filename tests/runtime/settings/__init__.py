"""Tests of the runtime's settings."""
