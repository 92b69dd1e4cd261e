"""Tests of the benchmarks' own arithmetic and machinery; nothing is measured here."""
