#!/usr/bin/env bash
# Runs every fuzz target there is, one after the other: fuzz.sh [time for each]
# A failing input is kept by go test in testdata/fuzz of its package: commit it with the cure.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}
go=${GO:-go}
failed=()
found=0
for dir in $(scripts/dirs-with.sh Fuzz); do
  for target in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$dir"/*_test.go | sort -u); do
    found=$((found + 1))
    echo "== $dir $target ($time)"
    "$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$dir" || failed+=("$dir $target")
  done
done
if [ "${#failed[@]}" -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
if [ "$found" -eq 0 ]; then
  echo 'there is no fuzz target'
else
  echo "fuzz: $found targets ran, no failing input found"
fi
