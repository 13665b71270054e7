#!/usr/bin/env bash
# tools/dist_test.sh CONFIG CHECKPOINT NUM_PROCESSES [OPTIONS]
# Several machines: see dist_run.sh.
set -euo pipefail
usage='usage: dist_test.sh CONFIG CHECKPOINT NUM_PROCESSES [OPTIONS]'
config=${1:?$usage} checkpoint=${2:?$usage} processes=${3:?$usage}; shift 3

exec "$(dirname "$0")/dist_run.sh" "$processes" \
  test.py "$config" "$checkpoint" "$@"
