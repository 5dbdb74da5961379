#!/usr/bin/env bash
# Builds both images and tries what came out: no docker engine is needed, only buildah, debootstrap and root on Debian.
#
# The base images are Debian roots made on the spot and imported under the names that the Dockerfiles give, so nothing
# comes from an image registry. docker-compose.yml is read by docker compose and by the specification's own validator,
# the chart rendered and read into Kubernetes' types (helm/render.go); inside.py then runs the images in a network of
# their own. Takes some minutes and about 3 GB in TMPDIR while it runs.
#
#   build.sh [PYTEST OPTIONS]      KEEP=1 leaves the images and logs in their folder, and says where
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-.venv/bin/python}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/voxtrad-containers-XXXXXX")
export TMPDIR=$work BUILDAH_ISOLATION=chroot DEBIAN_FRONTEND=noninteractive
buildah() { command buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }

log() { echo "containers: $*" >&2; }

clean_up() {
    [ -z "${KEEP:-}" ] || { log "kept: $work"; return; }
    buildah rm --all >/dev/null 2>&1 || true
    mount | awk -v work="$work/" 'index($3, work) == 1 { print $3 }' | sort -r | xargs -r umount -l
    rm -rf --one-file-system "$work"
}
trap clean_up EXIT

[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { log "this needs root on Debian"; exit 3; }
need=()
for program in buildah debootstrap php node; do
    type -P "$program" >/dev/null || case $program in # not `command -v`: that finds the function above as well
        php) need+=(php-cli) ;;
        node) need+=(nodejs) ;;
        *) need+=($program) ;;
    esac
done
[ ${#need[@]} = 0 ] || { apt-get -qq update; apt-get -qq install --no-install-recommends "${need[@]}" >&2; }

# --- base images ------------------------------------------------------------------------------------------------------

mirror=${VOXTRAD_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' "Created-By: Packages" |
    awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }')}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

base() { # Dockerfile -> the image that it is FROM
    sed -n 's/^ARG BASE=//p' "$1"
}

debian() { # suite, packages -> a folder with it; debootstrap's script for sid serves the suites that it does not know
    log "making a Debian $1"
    debootstrap --variant=minbase --include="$2" --keyring="$keyring" "$1" "$work/$1" "$mirror" \
        /usr/share/debootstrap/scripts/sid >"$work/$1.log" || { tail -5 "$work/$1.log" >&2; exit 1; }
    umount -q "$work/$1/proc" "$work/$1/sys" || true
    rm -rf "$work/$1"/var/cache/apt/archives/*.deb "$work/$1"/var/lib/apt/lists/*
}

import() { # folder, image
    local container
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$1" / >/dev/null
    buildah commit --quiet --rm "$container" "$2" >/dev/null
}

debian trixie python3,python3-venv,ca-certificates
import "$work/trixie" "$(base Dockerfile)"
rm -rf --one-file-system "$work/trixie"
debian forky ca-certificates
import "$work/forky" "$(base deploy/asterisk/Dockerfile)"

# --- both images ------------------------------------------------------------------------------------------------------

# How this machine reaches packages: the containers trust whom it trusts, and ask the index that its pip asks.
certificates=${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}
printf '[global]\ncert = /etc/host-certificates.crt\n' >"$work/pip.conf"
if index=$("$python" -m pip config get global.index-url 2>/dev/null); then echo "index-url = $index" >>"$work/pip.conf"; fi
# The archive's release file may be past its date.
printf 'Acquire::Check-Valid-Until "false";\nAPT::Sandbox::User "root";\n' >"$work/apt.conf"

build() { # image, context
    log "building $1"
    buildah build --pull-never --format docker --layers=false --quiet --tag "localhost/$1" \
        --volume "$work/pip.conf:/etc/pip.conf:ro" --volume "$certificates:/etc/host-certificates.crt:ro" \
        --volume "$work/apt.conf:/etc/apt/apt.conf.d/99tests:ro" "$2" >"$work/$1.log" 2>&1 ||
        { tail -30 "$work/$1.log" >&2; exit 1; }
}

build voxtrad .
build voxtrad-asterisk deploy/asterisk
buildah images --format '{{.Name}}:{{.Tag}} {{.Size}}' | grep localhost/voxtrad >&2

# --- readers of the files that no image holds -------------------------------------------------------------------------

tools=$work/forky
cp "$work/apt.conf" "$tools/etc/apt/apt.conf.d/99tests"
mount --bind /proc "$tools/proc"
inside() { TMPDIR=/tmp chroot "$tools" "$@"; }
log "installing docker compose, the compose specification's validator, Go with sprig and Kubernetes' types"
{
    inside apt-get -qq update
    inside apt-get -qq install --no-install-recommends compose-spec docker-compose golang-go \
        golang-github-masterminds-sprig-dev golang-k8s-api-dev golang-k8s-sigs-yaml-dev
} >"$work/tools.log" 2>&1 || { tail -5 "$work/tools.log" >&2; exit 1; }
mkdir "$tools/src"
cp -r docker-compose.yml Dockerfile config deploy tests/containers/helm "$tools/src/"

log "docker-compose.yml, read by $(inside docker-compose version) and by compose-spec"
inside compose-spec /src/docker-compose.yml >/dev/null
for profile in none pbx monitoring local '*'; do
    inside docker-compose -f /src/docker-compose.yml --profile "$profile" config --quiet
done
inside docker-compose -f /src/docker-compose.yml --profile '*' config --format json >"$work/compose.json"

log "the chart"
inside sh -c 'cd /src/helm && GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=/tmp/go GOTELEMETRY=off go build -o /bin/render render.go'
inside render /src/deploy/helm/voxtrad test >"$work/chart.yaml" 2>"$work/notes.txt"
inside render /src/deploy/helm/voxtrad test /src/helm/all.yaml >"$work/chart-all.yaml" 2>"$work/notes-all.txt"
rm -rf --one-file-system "$tools/usr" "$tools/tmp" # its disk is needed no more

# --- what was built, running ------------------------------------------------------------------------------------------

pbx=$(tests/asterisk/provision.sh) # telephones, and a voice for them
log "running the images"
export VOXTRAD_CONTAINERS=$work VOXTRAD_TELEPHONES=$pbx
# A network with one address more than loopback's: telephones look for one.
network='ip link set lo up && ip address add 192.0.2.1/24 dev lo'
unshare --net sh -c "$network"' && exec "$@"' sh "$python" -m pytest -p no:cacheprovider tests/containers/inside.py "$@"
