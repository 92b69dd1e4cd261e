"""Tests of app.runtime.metrics."""
