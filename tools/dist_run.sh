#!/usr/bin/env bash
# What dist_train.sh and dist_test.sh share:
# tools/dist_run.sh NUM_PROCESSES SCRIPT [ARGUMENTS]
# Several machines: the same on each with NNODES, NODE_RANK, MASTER_ADDR, PORT.
# Processes use one GPU each, or the CPU (gloo) where there is none.
set -euo pipefail
processes=$1 script=$2; shift 2

exec "${PYTHON:-python}" -m torch.distributed.run \
  --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
  --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
  --nproc_per_node="$processes" \
  "$(dirname "$0")/$script" "$@" --launcher pytorch
