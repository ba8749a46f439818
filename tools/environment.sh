# Sourced by tools/demo and tools/test: makes the checkout's .venv with the extras asked for, once per pyproject.toml.
# Needs python3 (3.11 or newer) and, where that Python has no ensurepip, Debian's apt-get (no root).

say() { printf '%s\n' "$*" >&2; }

# Put pip into .venv from Debian's own wheel, for a python3 without ensurepip (Debian splits it off into python3-venv).
# apt works on lists and a cache of its own, so this needs neither root nor an updated system.
pip_from_debian() {
  local apt_dir="$PWD/.venv/apt" wheel
  command -v apt-get >/dev/null || { say "python3 here has no ensurepip; install the package python3-venv and start again."; return 1; }
  mkdir -p "$apt_dir/lists/partial" "$apt_dir/cache/archives/partial"
  local options=(-qq -o "Dir::State::Lists=$apt_dir/lists" -o "Dir::Cache=$apt_dir/cache" -o Debug::NoLocking=1
    -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update >&2 || { say "No package lists could be had; with root: apt-get install python3-venv"; return 1; }
  (cd "$apt_dir" && apt-get "${options[@]}" download python3-pip-whl >&2 && dpkg-deb -x python3-pip-whl_*.deb .) || {
    say "Debian's pip wheel could not be had; with root: apt-get install python3-venv"
    return 1
  }
  wheel=$(ls "$apt_dir"/usr/share/python-wheels/pip-*.whl | head -1)
  PYTHONPATH="$wheel" .venv/bin/python -m pip install --quiet --no-index --find-links "$(dirname "$wheel")" pip
  rm -rf "$apt_dir"
}

# ensure_venv EXTRAS: make or complete .venv so that `opentsm[EXTRAS]` is installed in it, editable.
ensure_venv() {
  local extras=$1 stamp
  command -v python3 >/dev/null || { say "python3 is missing; it must be 3.11 or newer."; return 1; }
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { say "python3 is older than 3.11: $(python3 -V)"; return 1; }
  stamp=".venv/.installed-$(printf '%s %s' "$extras" "$(cat pyproject.toml)" | sha256sum | cut -c1-16)"
  [ -e "$stamp" ] && return 0
  if [ ! -x .venv/bin/python ]; then
    say "Making .venv …"
    if python3 -c 'import ensurepip' 2>/dev/null; then python3 -m venv .venv; else
      python3 -m venv --without-pip .venv && pip_from_debian || { rm -rf .venv; return 1; }
    fi
  fi
  say "Installing opentsm[$extras] into .venv (the first time takes a minute or two) …"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[$extras]" || {
    say "pip could not install opentsm[$extras]; see its message above (no network? a proxy?)."
    return 1
  }
  touch "$stamp"
}
