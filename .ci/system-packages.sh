#!/bin/sh
# Installs what the tests use of the system (browsers, a virtual screen, ffmpeg, a voice, a TURN server, Redis, a TLS proxy,
# a media server, network namespaces, npm) where that is allowed.
# Elsewhere it says what to install, and the tests that need it are skipped; in CI a missing program is an error.
set -u

missing() {
    for pair in chromium:chromium chromedriver:chromium-driver firefox-esr:firefox-esr Xvfb:xvfb ffmpeg:ffmpeg \
        turnserver:coturn redis-server:redis-server janus:janus nft:nftables ip:iproute2 espeak-ng:espeak-ng npm:npm \
        caddy:caddy; do
        command -v "${pair%%:*}" >/dev/null || printf '%s ' "${pair##*:}"
    done
}

packages=$(missing)
[ -z "$packages" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing for the tests: $packages..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update || apt-get -qq update
    # shellcheck disable=SC2086 # a list of words on purpose
    apt-get -qq install -y --no-install-recommends -o DPkg::Lock::Timeout=120 $packages >/dev/null
    packages=$(missing)
    [ -z "$packages" ] && exit 0
fi

echo "Not installed, so the tests that need it cannot run: sudo apt-get install $packages" >&2
[ -z "${CI:-}" ]
