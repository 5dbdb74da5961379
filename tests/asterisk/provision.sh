#!/bin/sh
# Makes a folder with a real Asterisk 22, SIP callers and a speech synthesiser for the tests, and prints its path.
#
#   provision.sh [FOLDER]      default: ${XDG_CACHE_HOME:-~/.cache}/voxtrad-tests/forky
#
# As root on Debian or Ubuntu: a Debian forky root, made once (about 35 s) and only looked at afterwards. Elsewhere an
# `asterisk` on PATH is used, and `/` printed. Exit code 3 with a reason on stderr where neither is possible.
# VOXTRAD_DEBIAN_MIRROR names Debian's archive where the host's apt does not (Ubuntu).
set -eu

suite=forky
packages="asterisk asterisk-core-sounds-en-wav baresip sip-tester flite"
version=1 # counts changes of what is made here: a folder of an older version is completed
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/voxtrad-tests/$suite}
ready=$folder/.voxtrad-ready-$version

exec 3>&1 1>&2 # only the answer goes to stdout

log() { echo "provision: $*"; }

elsewhere() {
    if command -v asterisk >/dev/null 2>&1; then
        echo / >&3
        exit 0
    fi
    log "no Asterisk here: $1, and there is no asterisk on PATH"
    exit 3
}

inside() { DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$folder" "$@"; }

fetch() { # apt-get in the folder; the archive's release file may be past its date
    inside apt-get -q -y -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3 -o APT::Sandbox::User=root "$@"
}

bind_proc() {
    mountpoint -q "$folder/proc" || mount --bind /proc "$folder/proc" 2>/dev/null || mount -t proc proc "$folder/proc"
}

mirror() { # of Debian's main archive, as the host's own apt has it; Ubuntu's has none
    if [ -n "${VOXTRAD_DEBIAN_MIRROR:-}" ]; then
        echo "$VOXTRAD_DEBIAN_MIRROR"
        return
    fi
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' "Created-By: Packages" |
        awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }'
}

[ "$(uname -s)" = Linux ] && command -v apt-get >/dev/null 2>&1 || elsewhere "this is no Debian or Ubuntu"
[ "$(id -u)" = 0 ] || elsewhere "this is not root"

mkdir -p "$folder"
exec 9>"$folder.lock"
flock 9 # one run makes it, the others wait

if [ ! -e "$ready" ]; then
    command -v debootstrap >/dev/null 2>&1 || {
        log "installing debootstrap"
        apt-get -q -y update
        DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends debootstrap
    }
    if [ ! -e "$folder/etc/debian_version" ] || [ -d "$folder/debootstrap" ]; then # the latter is left by a broken run
        rm -rf --one-file-system "$folder"
        from=$(mirror)
        [ -n "$from" ] || elsewhere "this host's apt names no Debian archive (VOXTRAD_DEBIAN_MIRROR=URL would)"
        log "making $folder"
        keyring=/usr/share/keyrings/debian-archive-keyring.gpg
        check=--keyring=$keyring
        [ -e "$keyring" ] || check=--no-check-gpg # Ubuntu without debian-archive-keyring: a test root, thrown away
        # An older debootstrap has no script for this suite; that of sid serves all of them.
        debootstrap --variant=minbase "$check" "$suite" "$folder" "$from" /usr/share/debootstrap/scripts/sid ||
            elsewhere "debootstrap failed"
    fi
    printf '#!/bin/sh\nexit 101\n' >"$folder/usr/sbin/policy-rc.d" # no package may start a server
    chmod 755 "$folder/usr/sbin/policy-rc.d"
    bind_proc
    missing=
    for package in $packages; do
        inside dpkg-query -W -f '${db:Status-Abbrev}\n' "$package" 2>/dev/null | grep -q ^ii || missing="$missing $package"
    done
    if [ -n "$missing" ]; then
        log "installing$missing"
        fetch update
        # shellcheck disable=SC2086
        fetch install --no-install-recommends $missing
        fetch clean
    fi
    touch "$ready"
fi
bind_proc
echo "$folder" >&3
