"""GPUs: which there are, which one a process sees, and what is wrong when one fails.

Nothing here imports a library of the user's, or opens a context on a GPU.
"""
