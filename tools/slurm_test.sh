#!/usr/bin/env bash
# tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [OPTIONS]
# What is asked of Slurm: see slurm_run.sh.
set -euo pipefail
usage='usage: slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [OPTIONS]'
partition=${1:?$usage} name=${2:?$usage}
files=("${3:?$usage}" "${4:?$usage}"); shift 4

exec "$(dirname "$0")/slurm_run.sh" "$partition" "$name" \
  test.py "${files[@]}" --launcher slurm "$@"
