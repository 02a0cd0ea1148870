#!/bin/sh
# Makes DIRECTORY a virtual environment whose python3 has what REQUIREMENTS names (requirements.txt beside this file) and can
# run the statement WORKS: with the packages that are installed, else with those of PyPI.
#
#   environment.sh DIRECTORY [REQUIREMENTS WORKS]
set -u
directory=$1
requirements=${2:-$(dirname "$0")/requirements.txt}
statement=${3:-from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305}

works() {
    "$directory/bin/python3" -c "$statement" 2>/dev/null
}

rm -rf "$directory"
# Without pip: Debian's python3 cannot make an environment with it unless python3-venv is installed.
python3 -m venv --without-pip --system-site-packages "$directory" && works && exit
rm -rf "$directory"
if python3 -c 'import ensurepip' 2>/dev/null; then
    python3 -m venv "$directory" && "$directory/bin/python3" -m pip install --quiet -r "$requirements" && works && exit
elif python3 -m pip --version >/dev/null 2>&1; then
    # The system's pip can install into an environment that has none.
    python3 -m venv --without-pip "$directory" &&
        python3 -m pip --python "$directory/bin/python3" install --quiet -r "$requirements" && works && exit
fi
rm -rf "$directory"
echo "the Python tests need what $requirements names: install python3-venv, so that pip can fetch it from PyPI," \
    "or the packages themselves" >&2
exit 1
