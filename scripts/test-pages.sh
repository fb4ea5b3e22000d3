#!/usr/bin/env bash
# Checks the pages, proves that what is committed of them is what their sources build to, and tests them in a browser against
# a server built from this tree. Says what it leaves out, and why. PICTURES=FOLDER keeps the pictures of every state.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() { # the number of tests in the files of this folder, and the reason
  count=$(grep -rhoE '^ *test\(' --include='*.test.mjs' web/app/test | wc -l)
  echo "web/app: skipped $((count)) tests: $1"
  exit 0
}

for program in node npm go; do
  command -v "$program" >/dev/null 2>&1 || skip "$program is not installed"
done
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || skip "Node $major is too old, 20 is needed"

cd web/app
if ! [ node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --no-audit --no-fund --loglevel=error || skip 'its packages cannot be had'
  touch node_modules/.package-lock.json
fi
npm run --silent check
npm run --silent dist
if [ -z "${CHROMIUM:-}" ] && ! command -v chromium chromium-browser google-chrome >/dev/null 2>&1; then
  skip 'Chromium is not installed; scripts/test-deps.sh fetches it where it may'
fi
npm test --silent
