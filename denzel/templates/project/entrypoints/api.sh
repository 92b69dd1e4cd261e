#!/usr/bin/env bash
# Starts the prediction API: Falcon under gunicorn.
# Each command ends in a comment: there, the line ends of Windows do no harm.
set -euo pipefail #
cd "$(dirname "$0")/.." #
exec "${DENZEL_PYTHON:-python3}" -P app/runtime/start.py app.runtime.bootstrap --os-commands api python -P app/runtime/start.py gunicorn --config app/runtime/api/server/gunicorn_conf.py "app.runtime.api.app:create_app()" #
