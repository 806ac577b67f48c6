# Sourced by tools/demo and tools/test: a virtual environment with this checkout in it.
# Everything it says goes to stderr, so that --json stays one object on stdout.

say() { printf '%s\n' "$*" >&2; }

# The first Python of at least 3.11 with the venv module; exits with the command that installs it.
find_python() {
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      if "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
        printf '%s\n' "$candidate"
        return
      fi
      without_venv=$candidate
    fi
  done
  if [ -n "${without_venv:-}" ]; then
    say "$without_venv lacks its venv module; on Debian or Ubuntu: sudo apt-get install python3-venv"
  else
    say "Python 3.11 or newer is needed; on Debian or Ubuntu: sudo apt-get install python3 python3-venv"
  fi
  exit 1
}

# prepare VENV EXTRAS: make VENV and install this checkout with EXTRAS, unless that was done already.
prepare() {
  venv=$1 extras=$2
  stamp=$venv/.installed
  wanted="$extras $(cksum < setup.py)"
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return
  python=$(find_python)
  say "installing nii-edge[$extras] into $venv (once) …"
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv" >&2
  if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$extras]" >&2; then
    say "the installation failed (see above); a package index must be reachable, or PIP_INDEX_URL set"
    exit 1
  fi
  printf '%s' "$wanted" > "$stamp"
}
