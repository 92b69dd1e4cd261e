"""Pipelines of real libraries; each is copied to ``app/logic/pipeline.py``.

``make()`` trains a small model and writes it into app/assets; with TEST_WARM_UP, ``load_model``
predicts once with it.
"""
