"""Services as containers: Compose changes things, the Docker SDK is asked."""
