#!/usr/bin/env bash
# Starts the Celery worker that holds the model.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${DENZEL_PYTHON:-python3}" -m app.runtime.bootstrap --os-commands denzel python -m app.runtime.worker
