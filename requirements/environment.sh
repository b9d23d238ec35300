# For ./run and ./test: a Python environment with exactly the locked packages, and the project itself.

fail() {
    echo "$*" >&2
    exit 1
}

find_python() {
    for candidate in python3.14 python3.13 python3.12 python3.11 python3 python; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer with its venv module is needed (on Debian: apt install python3 python3-venv)."
}

# prepare FOLDER LOCK: makes FOLDER unless it is there and whole. The stamp is written last: without it, or with an
# older one, everything is made anew.
prepare() {
    unset PYTHONHOME PYTHONPATH VIRTUAL_ENV
    stamp="$(cat "$2" pyproject.toml | cksum) $PWD"
    if [ "$(cat "$1/stamp" 2>/dev/null)" = "$stamp" ] && "$1/bin/python" -c '' 2>/dev/null; then
        return
    fi
    python="$(find_python)" || exit 1
    echo "Installing $(grep -c '^[a-z].*==' "$2") packages into $1 (once; about a minute) ..."
    rm -rf "$1"
    "$python" -m venv "$1" || fail "$python could not make an environment in $PWD/$1."
    # What is used is compiled when it is first used; all of it would take a third of the time.
    "$1/bin/python" -m pip install --disable-pip-version-check --require-hashes --only-binary :all: --no-compile \
        -r "$2" || fail "The packages could not be installed: see above."
    "$1/bin/python" -m pip install --disable-pip-version-check --quiet --no-index --no-deps --no-build-isolation \
        --editable . || fail "The project could not be installed: see above."
    echo "$stamp" >"$1/stamp"
}
