#!/usr/bin/env bash
# Checks and tests what is written in TypeScript, against a server built from this tree. Says what it leaves out, and why.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/test-pages.sh

skip() { # the number of tests in the files of this folder, and the reason
  count=$(grep -rhoE '^ *test(\.each)?[(.]' --include='*.test.ts' --include='*.test.tsx' sdk/ts/test | wc -l)
  echo "sdk/ts: skipped $((count)) tests: $1"
  exit 0
}

for program in node npm go; do
  command -v "$program" >/dev/null 2>&1 || skip "$program is not installed"
done
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || skip "Node $major is too old, 20 is needed"

cd sdk/ts
if ! [ node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --no-audit --no-fund --loglevel=error || skip 'its packages cannot be had'
  touch node_modules/.package-lock.json
fi
if grep -q '"resolved": "http' package-lock.json; then
  echo 'sdk/ts/package-lock.json names a registry: install with npm --omit-lockfile-registry-resolved' >&2
  exit 1
fi
npm run --silent check
npm run --silent build # enforces what each entry may weigh
npm test --silent
