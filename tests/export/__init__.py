"""Tests of what runs a project on many machines."""
