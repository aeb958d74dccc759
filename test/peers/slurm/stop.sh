#!/usr/bin/env bash
# Ends the Slurm that start.sh DIR started, with its jobs, and removes DIR.
set -uo pipefail
dir=$1
export SLURM_CONF=$dir/slurm.conf
[ -e "$SLURM_CONF" ] || exit 0
scancel --user="$(id -un)" --signal=KILL --full >/dev/null 2>&1
pids=$(cat "$dir"/*.pid 2>/dev/null)
for pid in $pids; do kill "$pid" 2>/dev/null; done
for _ in $(seq 1 40); do
  alive=0
  for pid in $pids; do if kill -0 "$pid" 2>/dev/null; then alive=1; fi; done
  [ "$alive" -eq 0 ] && break
  sleep 0.25
done
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
rm -rf "$dir"
