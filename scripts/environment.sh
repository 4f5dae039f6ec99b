# shellcheck shell=bash
# Sourced by the other scripts: changes into the checkout and keeps its virtual environment, .venv, up to date.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# Servers start from here, hundreds from some: where a shell forbids it, each would compile the same anew.
unset PYTHONDONTWRITEBYTECODE

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
    fail "Expected Python 3.11 or newer, got $(python3 --version 2>&1 || true). Install one, or name it in PYTHON."
}

# prepare [EXTRA,...]: installs the project with these extras, unless that was done since pyproject.toml last changed.
prepare() {
    local python extras=${1:-} stamp wanted
    if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        python=$(find_python)
        rm -rf .venv
        "$python" -m venv .venv || fail "Expected a virtual environment. On Debian: apt-get install python3-venv"
    fi
    stamp=.venv/installed-${extras:-plain}
    # The path counts, too: an editable installation points to it.
    wanted="$(cksum < pyproject.toml) $PWD"
    if [[ ! -f $stamp || $(< "$stamp") != "$wanted" ]]; then
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extras:+[$extras]}" ||
            fail "Expected pip to install the project; see above."
        printf '%s\n' "$wanted" > "$stamp"
    fi
}

# install_packages PACKAGE...: Debian's packages that are missing.
install_packages() {
    local as_root=()
    [[ $# -gt 0 ]] || return 0
    command -v apt-get > /dev/null || fail "Expected $*, got none. Install them and run again."
    if [[ $(id -u) -ne 0 ]]; then
        sudo --non-interactive true 2> /dev/null || fail "Expected $*, got none. Run: sudo apt-get install $*"
        as_root=(sudo --non-interactive)
    fi
    "${as_root[@]}" apt-get update
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

# Installs the tools of browser/, unless that was done since its lock file last changed.
prepare_browser() {
    local packages=() stamp=browser/node_modules/.installed wanted
    command -v node > /dev/null || packages+=(nodejs)
    command -v npm > /dev/null || packages+=(npm)
    install_packages ${packages[@]+"${packages[@]}"}
    node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
        fail "Expected Node 20.19 or newer, got $(node --version)."
    wanted="$(cksum < browser/package-lock.json)"
    if [[ ! -f $stamp || $(< "$stamp") != "$wanted" ]]; then
        npm --prefix browser ci --no-audit --no-fund --loglevel=error || fail "Expected npm to install browser/; see above."
        printf '%s\n' "$wanted" > "$stamp"
    fi
}
