#!/usr/bin/env bash
# What slurm_train.sh and slurm_test.sh share:
# tools/slurm_run.sh PARTITION JOB_NAME SCRIPT [ARGUMENTS]
# GPUS (8), GPUS_PER_NODE (8), CPUS_PER_TASK (8) and SRUN_ARGS say what to ask
# Slurm for. GPUS_PER_NODE=0 takes no GPU: GPUS processes on CPUs.
set -euo pipefail
partition=$1 name=$2 script=$3; shift 3
tasks=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
gpus=()
if ((per_node)); then
  per_node=$((tasks < per_node ? tasks : per_node))
  gpus=("--gres=gpu:$per_node" "--ntasks-per-node=$per_node")
fi
read -ra more <<<"${SRUN_ARGS:-}"

exec srun --partition="$partition" --job-name="$name" --ntasks="$tasks" \
  "${gpus[@]}" --cpus-per-task="${CPUS_PER_TASK:-8}" --kill-on-bad-exit=1 \
  "${more[@]}" "${PYTHON:-python}" -u "$(dirname "$0")/$script" "$@"
