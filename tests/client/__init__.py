"""Tests of denzel.client."""
