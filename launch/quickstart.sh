#!/usr/bin/env bash
# Sets everything up, trains the main job in the embedded world, evaluates it and writes a report.
#   bash launch/quickstart.sh [--workdir=runs/unsup] [--config=configs/unsup.py:smoke] [...]
# About 20 minutes on two CPU cores, nothing is downloaded but packages. Arguments go to
# `python -m posejax.train` (--help lists them). Stopped and started again, it goes on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh
posejax_environment
# What comes later wins, so arguments may choose another config or folder.
exec "$PYTHON" -m posejax.train --config=configs/unsup.py --workdir=runs/unsup "$@"
