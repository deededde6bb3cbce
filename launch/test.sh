#!/usr/bin/env bash
# Sets everything up, checks the style, and runs the tests.
#   bash launch/test.sh [pytest's arguments, such as tests/geometry -k procrustes]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh
posejax_environment test
"$PYTHON" -m ruff check .
# Two processes: compiling takes most of the time, and each test file compiles for itself.
exec "$PYTHON" -m pytest -n 2 --dist loadfile "$@"
