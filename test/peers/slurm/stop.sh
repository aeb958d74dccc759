#!/usr/bin/env bash
# Ends the Slurm that start.sh DIR started, with its jobs, and removes DIR.
set -uo pipefail
dir=$1
export SLURM_CONF=$dir/slurm.conf
[ -e "$SLURM_CONF" ] || exit 0

scancel --user="$(id -un)" >/dev/null 2>&1
for _ in $(seq 1 60); do
  [ -z "$(squeue --noheader 2>/dev/null)" ] && break
  sleep 0.25
done

pids=$(cat "$dir"/*.pid 2>/dev/null)
for pid in $pids; do kill "$pid" 2>/dev/null; done
for _ in $(seq 1 40); do
  alive=0
  for pid in $pids; do if kill -0 "$pid" 2>/dev/null; then alive=1; fi; done
  [ "$alive" -eq 0 ] && break
  sleep 0.25
done

# What is left of it, job steps too, has its configuration in the environment; this script's own tree has it as well.
for file in $(grep -lzxF -- "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ 2>/dev/null); do
  pid=${file#/proc/}
  pid=${pid%/environ}
  if [ "$pid" != $$ ]; then kill -KILL "$pid" 2>/dev/null; fi
done
rm -rf "$dir"
