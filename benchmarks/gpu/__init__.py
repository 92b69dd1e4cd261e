"""Networks on a GPU behind denzel, LitServe and Mosec.

``python -m benchmarks.gpu --help`` tells how.
"""
