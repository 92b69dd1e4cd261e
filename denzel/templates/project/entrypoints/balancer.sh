#!/bin/sh
# Starts the service balancer: a Caddy that believes the addresses and networks in TRUSTED_PROXIES.
set -eu
BALANCER_TRUSTS=$(printf %s "${TRUSTED_PROXIES:-}" | tr ', ' '\n\n' \
    | grep -E '^([0-9.]+|[0-9a-fA-F.]*:[0-9a-fA-F:.]*)(/[0-9]+)?$' | tr '\n' ' ') || true
export BALANCER_TRUSTS="${BALANCER_TRUSTS:-127.0.0.1}"
exec caddy run --config /etc/caddy/Caddyfile --adapter caddyfile
