#!/bin/sh
# Builds the base image of emulated nodes from arm64 packages and gives it to Podman.
# build-arm64.sh IMAGE CODENAME PACKAGES SOURCES, as build-base.sh; needs qemu-user's registration.
# The mirror, its proxy and its checks are those of this machine's own apt.
set -eu
image=$1 codename=$2 packages=$3 sources=$4
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM
printf '%s\n' "$sources" >"$folder/sources.list"
apt-config dump | grep -E '^Acquire::(http|https|Check-|Retries)' >"$folder/apt.conf" || true
mmdebstrap --quiet --architectures=arm64 --variant=minbase --include="$packages" \
    --aptopt="$folder/apt.conf" \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='force-unsafe-io' \
    --essential-hook="sh '$here/native.sh' \"\$1\" /usr/bin/dpkg-deb" \
    --customize-hook="sh '$here/native.sh' \"\$1\" /usr/sbin/nft" \
    --customize-hook="cp -R '$here/arm64/etc/.' \"\$1/etc/\" && chmod 0440 \"\$1/etc/sudoers.d/emulated\"" \
    "$codename" "$folder/base.tar" "$folder/sources.list" >&2
podman import --quiet --arch=arm64 "$folder/base.tar" "$image"
