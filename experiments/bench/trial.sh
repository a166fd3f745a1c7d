#!/usr/bin/env bash
# The comparison: one trial as a careful person writes it with bash and OpenSSH.
# Connections are open already (ControlMaster), nodes are handled in parallel, processes are
# transient systemd units. Prints two numbers: milliseconds of the trial, and of the root process.
#
#   trial.sh PLAN MODE
#     PLAN  file that sets ssh_config, port, logs (local folder), root, root_command, workers
#           (array) and worker_command (array, one for each worker)
#     MODE  separate: a command a step; fused: start and wait, run and fetch, stop and fetch
# shellcheck disable=SC1090,SC2154  # PLAN is written by the benchmark
set -euo pipefail
source "$1"
mode=$2

remote() { # node command
    ssh -F "$ssh_config" "$1" "$2"
}

each_worker() { # command, in which WORKER_COMMAND stands for the worker's own; output to logs
    local pids=() index
    for index in "${!workers[@]}"; do
        remote "${workers[$index]}" "${1//WORKER_COMMAND/${worker_command[$index]}}" \
            >"$logs/${workers[$index]}.worker.$2" &
        pids+=($!)
    done
    for index in "${!pids[@]}"; do wait "${pids[$index]}"; done
}

unit="sudo systemd-run --quiet --collect --property=User=herd --property=KillMode=control-group"
start_worker="$unit --unit=bench-worker --property=StandardOutput=truncate:/tmp/bench-worker.out \
--property=StandardError=truncate:/tmp/bench-worker.err WORKER_COMMAND"
wait_worker="until ss -Hltn 'sport = :$port' | grep -q .; do sleep 0.02; done"
run_root="$unit --wait --unit=bench-root --property=StandardOutput=truncate:/tmp/bench-root.out \
--property=StandardError=truncate:/tmp/bench-root.err \
/bin/sh -c 'date +%s%N; \"\$@\"; status=\$?; date +%s%N; exit \$status' root $root_command"
stop_worker="sudo systemctl stop bench-worker"
fetch_worker="cat /tmp/bench-worker.out /tmp/bench-worker.err"
fetch_root="cat /tmp/bench-root.out /tmp/bench-root.err"

begin=$EPOCHREALTIME
if [ "$mode" = fused ]; then
    each_worker "$start_worker && $wait_worker" start
    remote "$root" "$run_root; $fetch_root" >"$logs/root.log"
    each_worker "$stop_worker; $fetch_worker" log
else
    each_worker "$start_worker" start
    each_worker "$wait_worker" ready
    remote "$root" "$run_root"
    each_worker "$stop_worker" stop
    remote "$root" "$fetch_root" >"$logs/root.log" &
    fetching=$!
    each_worker "$fetch_worker" log
    wait "$fetching"
fi
end=$EPOCHREALTIME

read -r root_begin < <(grep -aE '^[0-9]{19}$' "$logs/root.log" | head -n 1)
read -r root_end < <(grep -aE '^[0-9]{19}$' "$logs/root.log" | tail -n 1)
echo "$(((${end/./} - ${begin/./}) / 1000)) $(((root_end - root_begin) / 1000000))"
