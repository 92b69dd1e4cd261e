#!/usr/bin/env bash
# Starts the service that delivers predictions to callback URIs.
# Each command ends in a comment: there, the line ends of Windows do no harm.
set -euo pipefail #
cd "$(dirname "$0")/.." #
exec "${DENZEL_PYTHON:-python3}" -P app/runtime/start.py app.runtime.bootstrap callbacks python -P app/runtime/start.py app.runtime.callbacks #
