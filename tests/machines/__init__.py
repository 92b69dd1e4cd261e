"""A project on several machines, which are containers with an engine of their own in them."""
