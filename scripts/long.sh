#!/usr/bin/env bash
# Runs long experiments: long.sh PATTERN TIMEOUT. Tests see CARILLON_LONG=1 and take their full length then.
set -euo pipefail
cd "$(dirname "$0")/.."
pattern=$1 timeout=$2
mapfile -t dirs < <(scripts/dirs-with.sh "$pattern")
if [ "${#dirs[@]}" -eq 0 ]; then
  echo "no test is named $pattern"
  exit 0
fi
CARILLON_LONG=1 "${GO:-go}" test -count=1 -v -timeout "$timeout" -run "^$pattern" "${dirs[@]}"
