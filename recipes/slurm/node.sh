#!/bin/bash
# node.sh ACCELERATE_FILE NODES MAIN_HOST RECIPE [WORD...]: started by srun once on each node (lib.sh).
#
# USR1 has the trainers save and end: each of them gets SIGTERM, but not torchrun, which would kill them after 30
# seconds whether they had saved or not.
set -u
file=$1 nodes=$2 main_host=$3
shift 3
python=${PYTHON:-.venv/bin/python}
words=(--config_file "$file" --num_machines "$nodes" --machine_rank "${SLURM_PROCID:-0}")
if [ "$nodes" -gt 1 ]; then
    # A port of this job's own: two jobs may share a node.
    words+=(--main_process_ip "$main_host" --main_process_port $((20000 + SLURM_JOB_ID % 10000)))
    words+=(--num_processes $((nodes * ${SLURM_GPUS_ON_NODE:?ask Slurm for GPUs: --gpus-per-node=N})))
elif [ -n "${SLURM_GPUS_ON_NODE:-}" ]; then
    words+=(--num_processes "$SLURM_GPUS_ON_NODE")
fi

(
    trap '' USR1 # what Slurm sends to all processes must not end the launcher
    exec "$python" -m accelerate.commands.launch "${words[@]}" "$@"
) &
launcher=$!
trap 'pkill -TERM -P "$launcher"' USR1
while :; do
    status=0
    wait "$launcher" || status=$?
    kill -0 "$launcher" 2>/dev/null || break
done
exit "$status"
