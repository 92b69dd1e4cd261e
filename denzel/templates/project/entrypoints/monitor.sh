#!/usr/bin/env bash
# Starts the monitoring page: Flower.
# Each command ends in a comment: there, the line ends of Windows do no harm.
set -euo pipefail #
cd "$(dirname "$0")/.." #
exec "${DENZEL_PYTHON:-python3}" -P app/runtime/start.py app.runtime.bootstrap monitor python -P app/runtime/start.py app.runtime.monitor #
