"""The Celery worker: loads the model, takes requests, has processes predict for them."""
