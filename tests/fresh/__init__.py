"""Tests on systems that hold little more than Python."""
