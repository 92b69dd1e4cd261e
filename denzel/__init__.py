"""Take a trained model to a monitored, containerised, durable prediction service."""

__version__ = "1.0.0"
