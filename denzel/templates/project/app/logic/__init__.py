"""Your own code: ``pipeline.py``, and any module of yours that it imports."""
