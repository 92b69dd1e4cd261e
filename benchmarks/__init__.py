"""denzel measured beside other model servers, and beside the floors it stands on.

``python -m benchmarks --help`` lists what can be chosen; ``tox -e bench`` installs what it needs.
"""
