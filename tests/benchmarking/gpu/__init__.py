"""Tests of the GPU's benchmark; nothing is measured here."""
