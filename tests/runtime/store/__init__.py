"""Tests of what stands in Redis and how it is read and written."""
