"""Tests of the comparison of two versions; nothing is measured here."""
