#!/bin/sh
# System packages of the tests: a browser to look at the report, a checker of shell scripts, a compiler
# for the double of an engine, SSH servers on loopback, TeX.
set -eu
packages=""
[ -x /usr/bin/chromium ] || [ -x /usr/bin/google-chrome ] || packages="$packages chromium fonts-dejavu-core"
command -v shellcheck >/dev/null || packages="$packages shellcheck"
command -v rsync >/dev/null || packages="$packages rsync"
command -v g++ >/dev/null || packages="$packages g++"
command -v make >/dev/null || packages="$packages make"
[ -x /usr/sbin/sshd ] || packages="$packages openssh-server"
# TeX, to compile the draft of a paper: 190 MB on disk.
command -v latexmk >/dev/null || packages="$packages texlive-latex-recommended texlive-luatex lmodern latexmk"
[ -n "$packages" ] || exit 0
echo "System packages for the tests:$packages …"
sudo=""
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
        echo "not root: tests that need$packages will be skipped"
        exit 0
    fi
    sudo="sudo"
fi
$sudo apt-get update -qq
# shellcheck disable=SC2086  # a list of words on purpose
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $packages >/dev/null
case "$packages" in *openssh-server*)
    # The tests start servers of their own; this machine is not to get one.
    if [ -d /run/systemd/system ]; then $sudo systemctl disable --quiet --now ssh.service ssh.socket || :; fi
esac
