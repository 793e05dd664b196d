#!/usr/bin/env bash
# Tests the demo's page in a headless browser. Installs Debian's where that is possible; says so and passes where it is not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v chromedriver >/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  echo 'Installing chromium for the page tests'
  apt-get install -qq -y --no-install-recommends chromium chromium-driver fonts-noto-color-emoji >/dev/null ||
    { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium chromium-driver fonts-noto-color-emoji >/dev/null; } ||
    true
fi
if ! command -v chromedriver >/dev/null; then
  echo 'SKIPPED: there is no chromedriver; apt-get install chromium chromium-driver, then run this again'
  exit 0
fi
cargo=${CARGO:-cargo}
"$cargo" build --locked --bins
exec "$cargo" test --locked -p simulators --test page
