"""Tests of the backends, and the contract both keep."""
