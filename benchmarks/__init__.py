"""denzel measured: beside other model servers, beside other versions of itself, with real models.

``python -m benchmarks``, ``python -m benchmarks.compare`` and ``python -m benchmarks.models`` take
``--help``; tox installs what they need (docs/performance.rst).
"""
