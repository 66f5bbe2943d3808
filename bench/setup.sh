#!/bin/bash
# setup.sh: makes build/venv, with this project in it and all that building, testing and measuring it takes.
# Debian packages that compiling needs are installed where that is allowed without asking, else listed.
# PYTHON names the interpreter; by default it is the first one on PATH that is new enough.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=build/venv

find_python() {
    for python in ${PYTHON-} python3 python3.14 python3.13 python3.12 python3.11; do
        ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || return 0
    done
    python=false
}

# need PACKAGE COMMAND...: it is missing if the command fails.
need() { "${@:2}" > /dev/null 2>&1 || missing+=("$1"); }
header() { gcc -E -x c - <<< "#include <$1>"; }

find_missing() {
    missing=()
    find_python
    need python3 "$python" -c ''
    need python3-venv "$python" -c 'import ensurepip, venv'
    need python3-dev "$python" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")'
    need gcc gcc --version
    need libc6-dev header stdlib.h
    need libarchive-dev header archive.h
    need libzck-dev header zck.h
    need librsync-dev header librsync.h
    need libssl-dev header openssl/cms.h
    need openssl openssl version
    need perl perl -MEnglish -e ''   # mmdebstrap is written in it
}

install_missing() {
    local root=()
    [ "$EUID" -eq 0 ] || root=(sudo -n)
    "${root[@]}" apt-get --version > /dev/null 2>&1 || return 0
    echo "setup: installing ${missing[*]}"
    "${root[@]}" apt-get -qq update || true   # some other archive of this machine may be out of order
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends "${missing[@]}" > build/setup.log || cat build/setup.log
}

mkdir -p build
find_missing
if [ ${#missing[@]} -gt 0 ]; then
    install_missing
    find_missing
fi
if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: these packages are needed (names as in Debian 12 or later): ${missing[*]}" >&2
    [ "$python" != false ] || echo "setup: no python3 >= 3.11 is on PATH; PYTHON=/path/to/python3 names one." >&2
    exit 1
fi

echo "setup: $venv ($("$python" --version))"
"$venv/bin/python" -c '' 2> /dev/null || rm -rf "$venv"   # its interpreter may have gone
"$python" -m venv "$venv"
"$venv/bin/pip" install -qq --disable-pip-version-check --editable '.[build,test,bench]'
