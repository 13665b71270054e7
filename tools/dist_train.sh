#!/usr/bin/env bash
# tools/dist_train.sh CONFIG NUM_PROCESSES [OPTIONS]
# Several machines: see dist_run.sh.
set -euo pipefail
usage='usage: dist_train.sh CONFIG NUM_PROCESSES [OPTIONS]'
config=${1:?$usage} processes=${2:?$usage}; shift 2

exec "$(dirname "$0")/dist_run.sh" "$processes" train.py "$config" "$@"
