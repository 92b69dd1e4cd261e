"""Tests of single commands, as their user types them."""
