#!/bin/sh
# Prints the path of a Chromium for the tests: VOXTRAD_CHROMIUM, the one on PATH, or, as root on Debian, the one that apt
# installs. Exit code 3 with a reason on stderr where there is none.
set -eu

exec 3>&1 1>&2 # only the answer goes to stdout

for found in "${VOXTRAD_CHROMIUM:-}" "$(command -v chromium || true)"; do
    if [ -n "$found" ] && [ -x "$found" ]; then
        echo "$found" >&3
        exit 0
    fi
done

none() {
    echo "provision: no Chromium here: $*; VOXTRAD_CHROMIUM names one elsewhere"
    exit 3
}

command -v apt-get >/dev/null 2>&1 || none "this is no Debian"
grep -q '^ID=debian' /etc/os-release || none "this is no Debian, and Ubuntu's package wants snap"
[ "$(id -u)" = 0 ] || none "this is not root"

lock=${XDG_CACHE_HOME:-$HOME/.cache}/voxtrad-tests
mkdir -p "$lock"
exec 9>"$lock/chromium.lock"
flock 9 # one run installs it, the others wait
if ! command -v chromium; then
    echo "provision: installing chromium"
    apt-get -q -y -o Acquire::Retries=3 update
    DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends chromium || none "apt could not install it"
fi
command -v chromium >&3
