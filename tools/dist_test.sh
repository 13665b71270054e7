#!/usr/bin/env bash
# One machine:      tools/dist_test.sh CONFIG CHECKPOINT NUM_PROCESSES [OPTIONS]
# Several machines: the same on each with NNODES, NODE_RANK, MASTER_ADDR, PORT.
# Processes use one GPU each, or the CPU (gloo) where there is none.
set -euo pipefail
files=("$1" "$2"); processes=$3; shift 3

exec "${PYTHON:-python}" -m torch.distributed.run \
  --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
  --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
  --nproc_per_node="$processes" \
  "$(dirname "$0")/test.py" "${files[@]}" --launcher pytorch "$@"
