#!/usr/bin/env bash
# Starts the monitoring page: Flower.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${DENZEL_PYTHON:-python3}" -m app.runtime.bootstrap monitor python -m app.runtime.monitor
