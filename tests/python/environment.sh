#!/bin/sh
# Makes DIRECTORY a virtual environment whose python3 has what requirements.txt names: a cryptography that is installed,
# else one from PyPI.
set -u
directory=$1
requirements=$(dirname "$0")/requirements.txt

works() {
    "$directory/bin/python3" -c 'from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305' 2>/dev/null
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
echo "the Python tests need the package cryptography: install python3-venv, so that pip can fetch it from PyPI," \
    "or python3-cryptography" >&2
exit 1
