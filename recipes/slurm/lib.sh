# shellcheck shell=bash
# What the sbatch scripts of this directory share; not run by itself. Set PYTHON to use another interpreter.
# shellcheck disable=SC2034
python=${PYTHON:-.venv/bin/python}
stop_signal=USR1
training=""
stopping=""
status=0

die() {
    echo "$*" >&2
    exit 2
}

# need_files FILE...: jobs start where they were submitted, and every path is relative to the repository.
need_files() {
    local file
    for file in recipes/slurm/node.sh "$@"; do
        [ -f "$file" ] || die "no file $file in $PWD; submit from the root of the repository"
    done
}

# hosts: the nodes of the job, one a line.
hosts() {
    scontrol show hostnames "$SLURM_JOB_NODELIST"
}

# start_training ACCELERATE_FILE HOST[,HOST...] RECIPE [WORD...]: one launcher on each host, in the background.
start_training() {
    local file=$1 list=$2 count
    shift 2
    count=$(tr ',' '\n' <<<"$list" | wc -l)
    # A node that fails ends the others, which would wait for it until NCCL gives up.
    srun --nodes="$count" --ntasks="$count" --ntasks-per-node=1 --nodelist="$list" --kill-on-bad-exit=1 \
        bash recipes/slurm/node.sh "$file" "$count" "${list%%,*}" "$@" &
    training=$!
}

# stop_training REASON: srun passes USR1 on to node.sh on every node, which has the trainers save and end.
stop_training() {
    stopping=$1
    echo "$(date '+%F %T') $stopping: asking the trainers to save and stop"
    [ -z "$training" ] || kill "-$stop_signal" "$training"
}

# catch_signals: the time limit is near (USR1, from --signal in the script), or somebody stops the job (TERM).
catch_signals() {
    trap 'stop_training "time limit"' USR1
    trap 'stop_training "stopped"' TERM
}

# follow_training: waits to the end, sets `status`; a job out of time goes back to the queue, where it resumes.
follow_training() {
    await "$training"
    trap - USR1 TERM
    if [ "$stopping" = "time limit" ] && [ "$status" -ne 0 ]; then
        echo "saved; job $SLURM_JOB_ID goes back to the queue and will go on from there"
        scontrol requeue "$SLURM_JOB_ID"
    fi
}

# await PID: waits for a child and sets `status`; a trap interrupts `wait`, not the child.
await() {
    while :; do
        status=0
        wait "$1" || status=$?
        kill -0 "$1" 2>/dev/null || break
    done
}
