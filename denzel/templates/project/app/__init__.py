"""The deployment's code: the API, the worker, and the user's pipeline in ``app/logic``."""
