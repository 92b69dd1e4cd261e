"""Real libraries in the worker: loaded, warmed up, under load, killed, restarted."""
