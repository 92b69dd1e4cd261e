"""Pipelines that tests deploy; each is copied to ``app/logic/pipeline.py``."""
