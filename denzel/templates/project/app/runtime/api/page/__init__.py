"""The page at ``/``: plain HTML, CSS and JavaScript in ``files/``, and what it asks this API."""
