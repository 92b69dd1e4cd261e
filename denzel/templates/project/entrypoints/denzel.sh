#!/usr/bin/env bash
# Starts the Celery worker that holds the model.
# Each command ends in a comment: there, the line ends of Windows do no harm.
set -euo pipefail #
cd "$(dirname "$0")/.." #
exec "${DENZEL_PYTHON:-python3}" -P app/runtime/start.py app.runtime.bootstrap --os-commands denzel python -P app/runtime/start.py app.runtime.worker #
