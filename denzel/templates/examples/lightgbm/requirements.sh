#!/usr/bin/env bash
# ---------------------------------------------------------------
#                           USER GUIDE
# Shell commands your model needs besides pip packages.
# They run with bash, as root, and only inside the containers.
# Nobody can answer a question there: pass --yes and the like.
#
# Apply changes with `denzel updateosreqs`.
# ---------------------------------------------------------------
set -e

# LightGBM's package does not bring the OpenMP library it needs.
apt-get update
apt-get install --yes --no-install-recommends libgomp1
