#!/usr/bin/env bash
# tools/slurm_train.sh PARTITION JOB_NAME CONFIG [OPTIONS]
# What is asked of Slurm: see slurm_run.sh. Two minutes before the time limit
# each process gets SIGTERM: a checkpoint is saved and --resume goes on from
# there (docs/scaling.md).
set -euo pipefail
usage='usage: slurm_train.sh PARTITION JOB_NAME CONFIG [OPTIONS]'
partition=${1:?$usage} name=${2:?$usage} config=${3:?$usage}; shift 3

export SRUN_ARGS="--signal=TERM@120 ${SRUN_ARGS:-}"
exec "$(dirname "$0")/slurm_run.sh" "$partition" "$name" \
  train.py "$config" --launcher slurm "$@"
