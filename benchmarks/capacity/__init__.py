"""What a deployment can bear: calculated from what its parts cost, and compared with what it does.

``python -m benchmarks.capacity`` measures and prints both; ``docs/production.rst`` has the figures.
"""
