"""The server under the API: gunicorn and uvicorn, with limits for clients."""
