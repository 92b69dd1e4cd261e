"""Redis: key names, codecs, Celery's message format, connections."""
