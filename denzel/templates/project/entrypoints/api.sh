#!/usr/bin/env bash
# Starts the prediction API: Falcon under gunicorn.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${DENZEL_PYTHON:-python3}" -m app.runtime.prepare --os-commands api \
    gunicorn --config app/runtime/gunicorn_conf.py "app.runtime.api:create_app()"
