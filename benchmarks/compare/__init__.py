"""Two versions of denzel measured in one run: which is faster, and by how much.

``python -m benchmarks.compare --help`` tells how; docs/performance.rst how to read it.
"""
