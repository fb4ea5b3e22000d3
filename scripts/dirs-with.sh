#!/usr/bin/env bash
# Lists the folders of packages that have a test function whose name begins with the given pattern: dirs-with.sh Benchmark
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/go-files.sh | grep '_test\.go$' | xargs -r grep -lE "^func $1" | xargs -r -n 1 dirname | sort -u | sed 's|^\./||; s|^|./|' || true
