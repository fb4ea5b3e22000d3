#!/usr/bin/env bash
# Fetches what some tests use beside Go: npm packages, wherever a package-lock.json lies, and as root on Debian Chromium
# for the pages. May be run again at any time.
# Without npm it changes nothing; tests that need a package say so and skip.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v npm >/dev/null 2>&1; then
  echo 'npm is not installed: tests with JavaScript clients will skip'
  exit 0
fi
if ! command -v chromium >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  echo 'Chromium: installing'
  (apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium) >/dev/null || echo 'Chromium cannot be had: tests of the pages will skip'
fi
find . \( -name node_modules -o -name .git \) -prune -o -name package-lock.json -print | sort | while read -r lock; do
  dir=$(dirname "$lock")
  if [ "$dir/node_modules/.package-lock.json" -nt "$lock" ]; then
    echo "npm packages in $dir: present"
    continue
  fi
  echo "npm packages in $dir: installing"
  (cd "$dir" && npm ci --no-audit --no-fund --loglevel=error)
  mkdir -p "$dir/node_modules"
  touch "$dir/node_modules/.package-lock.json" # the next run looks at its date; npm writes none for an empty list
done
