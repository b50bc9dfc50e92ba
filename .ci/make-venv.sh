#!/bin/sh
# Makes a virtual environment in the folder $1, with $PYTHON or the first Python that is new enough.
# One that is there and works is kept, also one that you made yourself.
set -eu

folder=$1

say() { echo "$*" >&2; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

root_with_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update || apt-get -qq update
    apt-get -qq install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >/dev/null
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
        if new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

if new_enough "$folder/bin/python" && "$folder/bin/python" -c 'import pip' 2>/dev/null; then
    exit 0
fi

if ! python=$(find_python); then
    if [ -n "${PYTHON:-}" ]; then
        say "$PYTHON is not there or older than Python 3.11; name another one: make PYTHON=python3.12 ..."
        exit 1
    fi
    if root_with_apt; then
        say "No Python 3.11 or newer found: installing python3 and python3-venv ..."
        apt_install python3 python3-venv
    fi
    if ! python=$(find_python); then
        say "Python 3.11 or newer is needed; install it (Debian: sudo apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3.12 ..."
        exit 1
    fi
fi

# Debian's python3 comes without the part that puts pip into a virtual environment.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if root_with_apt; then
        say "$python cannot make virtual environments yet: installing $package ..."
        apt_install "$package"
    else
        say "$python cannot make virtual environments; run: sudo apt-get install $package"
        exit 1
    fi
fi

"$python" -m venv --clear "$folder"
