"""Figures of the deployment: counted in each process, summed up in Redis, shown by the API."""
