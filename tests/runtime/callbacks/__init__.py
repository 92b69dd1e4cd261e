"""Tests of the project template's runtime, against real Redis, gunicorn, Celery and Flower."""
