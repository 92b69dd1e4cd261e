"""Tests of the models' benchmark; nothing is measured here."""
