#!/bin/sh
# Builds the base image of the nodes from Debian packages and gives it to Podman.
# build-base.sh IMAGE CODENAME PACKAGES SOURCES, the last being the lines of a sources.list
# The mirror, its proxy and its checks are those of this machine's own apt.
set -eu
image=$1 codename=$2 packages=$3 sources=$4
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM
printf '%s\n' "$sources" >"$folder/sources.list"
apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries)' >"$folder/apt.conf" || true
mmdebstrap --quiet --variant=minbase --include="$packages" \
    --aptopt="$folder/apt.conf" \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='force-unsafe-io' \
    "$codename" "$folder/base.tar" "$folder/sources.list" >&2
podman import --quiet "$folder/base.tar" "$image"
