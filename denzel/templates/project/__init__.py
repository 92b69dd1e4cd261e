"""A denzel project: everything needed to serve one model."""
