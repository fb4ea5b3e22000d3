#!/usr/bin/env bash
# Lists the Go files of this repository, those not committed yet too, without what is ignored or fetched.
set -euo pipefail
cd "$(dirname "$0")/.."
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  git ls-files --cached --others --exclude-standard -- '*.go' | while read -r file; do
    if [ -f "$file" ]; then echo "$file"; fi
  done
else
  find . -name node_modules -prune -o -name '*.go' -print
fi
