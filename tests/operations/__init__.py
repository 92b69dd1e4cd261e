"""Tests of the operations behind the commands, on a backend that keeps its services in memory."""
