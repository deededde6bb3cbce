# Sourced by the launch scripts: makes .venv and installs the package in it, once.
#   source launch/environment.sh; posejax_environment [extras, such as test]
# Sets PYTHON. Safe to run again: an installation of the same setup.py is left alone, a broken or
# half-made one is repaired. POSEJAX_PYTHON chooses the interpreter that makes the environment.

posejax_environment() {
  local extras=${1:-} base=${POSEJAX_PYTHON:-python3} stamp want
  if ! command -v "$base" >/dev/null 2>&1; then
    echo "posejax: no $base found: install Python 3.11 or newer, or set POSEJAX_PYTHON" >&2
    return 1
  fi
  if ! "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "posejax: $("$base" --version 2>&1) is too old: 3.11 or newer is needed (set POSEJAX_PYTHON)" >&2
    return 1
  fi
  PYTHON=$PWD/.venv/bin/python
  # Not made by these scripts: somebody's own environment is used as it is, never deleted.
  if [ -e .venv ] && [ ! -e .venv/posejax-made ] && ! "$PYTHON" -c 'import pip' >/dev/null 2>&1; then
    echo "posejax: .venv is there but has no working Python with pip: move it away and run again" >&2
    return 1
  fi
  # A copied or moved environment has an interpreter that does not start.
  if ! "$PYTHON" -c 'import pip' >/dev/null 2>&1; then
    rm -rf .venv
    mkdir .venv && touch .venv/posejax-made
    if ! "$base" -m venv .venv; then
      echo "posejax: cannot make .venv (on Debian and Ubuntu: apt install python3-venv)" >&2
      return 1
    fi
  fi
  stamp=.venv/posejax-$(echo "${extras:-plain}" | tr -c 'a-zA-Z0-9\n' '-')
  want="$(cksum < setup.py) $PWD"
  if [ "$(cat "$stamp" 2>/dev/null)" != "$want" ]; then
    echo "posejax: installing into .venv (once, about a minute)" >&2
    if ! "$PYTHON" -m pip install --quiet --disable-pip-version-check -e ".${extras:+[$extras]}"; then
      echo "posejax: the installation failed; see pip's message above" >&2
      return 1
    fi
    echo "$want" > "$stamp"
  fi
}
