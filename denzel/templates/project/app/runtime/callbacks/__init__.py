"""Delivery of predictions to the URIs their requests named."""
