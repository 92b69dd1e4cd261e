"""Tests of what is known of GPUs."""
