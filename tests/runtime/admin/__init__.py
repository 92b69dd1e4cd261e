"""Tests of the commands that change or ask a running deployment."""
