#!/usr/bin/env bash
# Sets everything up, checks the style, and runs the tests.
#   bash launch/test.sh [pytest's arguments, such as tests/geometry -k procrustes]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh test
"$PYTHON" -m ruff check .
exec "$PYTHON" -m pytest "$@"
