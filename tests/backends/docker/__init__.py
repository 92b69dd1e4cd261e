"""Tests of the Docker backend."""
