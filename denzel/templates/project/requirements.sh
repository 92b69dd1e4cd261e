#!/usr/bin/env bash
# ---------------------------------------------------------------
#                           USER GUIDE
# Shell commands your model needs besides pip packages, e.g.
#
#   apt-get update && apt-get install --yes libgomp1
#
# They run with bash, as root, and only inside the containers.
# Nobody can answer a question there: pass --yes and the like.
# Only the last command's failure counts, unless you begin with
#
#   set -e
#
# Apply changes with `denzel updateosreqs`.
# ---------------------------------------------------------------
