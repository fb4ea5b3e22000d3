#!/usr/bin/env bash
# Fetches what some tests use beside Go: as root on Debian Redis, Postgres, a proxy, nft, and Chromium for the pages; npm packages,
# wherever a package-lock.json lies. May be run again at any time. Tests whose server or package is missing say so and skip.
set -euo pipefail
cd "$(dirname "$0")/.."
servers() { # their programs are started by the tests, on private ports; what Debian starts is stopped and stays so
  command -v redis-server >/dev/null 2>&1 && command -v redis-sentinel >/dev/null 2>&1 && command -v haproxy >/dev/null 2>&1 &&
    ls /usr/lib/postgresql/*/bin/pgbench >/dev/null 2>&1
}
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  wanted=()
  servers || wanted+=(redis-server redis-sentinel postgresql postgresql-contrib haproxy)
  command -v chromium >/dev/null 2>&1 || wanted+=(chromium)
  command -v nft >/dev/null 2>&1 || wanted+=(nftables) # cuts ways between nodes; without it a proxy does
  if [ ${#wanted[@]} -gt 0 ]; then
    echo "Debian: installing ${wanted[*]}"
    policy=/usr/sbin/policy-rc.d # its status 101 keeps Debian from starting what it installs
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; trap 'rm -f "$policy"' EXIT; }
    (apt-get update -qq && apt-get install -y -qq --no-install-recommends "${wanted[@]}") >/dev/null ||
      echo 'Debian: not all of it can be had; tests that need the rest will skip'
  fi
elif ! servers; then
  echo 'Redis, Postgres and haproxy are not all installed, and only root on Debian installs them here: tests that need them will skip'
fi
if ! command -v npm >/dev/null 2>&1; then
  echo 'npm is not installed: tests with JavaScript clients will skip'
  exit 0
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
