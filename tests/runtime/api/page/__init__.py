"""Tests of app.runtime.api.page."""
