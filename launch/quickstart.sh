#!/usr/bin/env bash
# Sets everything up, samples a synthetic scene seen by several cameras, and writes its pictures.
#   bash launch/quickstart.sh [--output=runs/preview] [--seed=0] [...]
# Arguments go to `python -m posejax.preview` (--help lists them). Safe to run again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh
posejax_environment
exec "$PYTHON" -m posejax.preview "$@"
