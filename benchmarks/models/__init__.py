"""Real libraries behind denzel: its defaults beside the best processes and threads by hand.

``python -m benchmarks.models --help`` tells how.
"""
