#!/usr/bin/env bash
# Starts a real Slurm on this one machine: one slurmctld and a slurmd for each pretended node, each with 8 pretended
# GPUs. No systemd, cgroups or munge. Everything, jobs too, runs as the user who calls this.
#
# The pretended nodes n1, n2 … have names that nothing resolves; one more, called localhost, is a partition "local".
#
#   start.sh DIR [NODES [PORT]]   DIR must not exist yet; NODES defaults to 16, PORT (of slurmctld) to 26817
#
# Then: SLURM_CONF=DIR/slurm.conf sbatch …
# stop.sh DIR ends it. Needs: apt-get install --no-install-recommends slurm-wlm munge
set -euo pipefail
dir=$1
nodes=${2:-16}
port=${3:-26817}
host=$(hostname -s)
user=$(id -un)

if ! command -v slurmctld slurmd >/dev/null; then
  echo "slurm: slurmctld and slurmd are missing: apt-get install --no-install-recommends slurm-wlm munge" >&2
  exit 1
fi

mkdir "$dir"
mkdir "$dir/state" "$dir/dev" "$dir/work" "$dir/log"
# Slurm only asks that the device files of a GPU exist.
touch "$dir"/dev/nvidia{0..7}

cat >"$dir/slurm.conf" <<CONF
ClusterName=peers
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/none
CredType=cred/none
SlurmctldPort=$port
StateSaveLocation=$dir/state
SlurmctldPidFile=$dir/slurmctld.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmdLogFile=$dir/log/slurmd-%n.log
SlurmdSpoolDir=$dir/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1
# A requeued job may start again after this many seconds (120 unless told).
AuthInfo=cred_expire=5
MinJobAge=600
KillWait=5
GresTypes=gpu
NodeName=n[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + nodes))] CPUs=16 Gres=gpu:8
NodeName=localhost NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + nodes + 1)) CPUs=16 Gres=gpu:8
PartitionName=main Nodes=n[1-$nodes] Default=YES State=UP
PartitionName=local Nodes=localhost State=UP
CONF
cat >"$dir/gres.conf" <<CONF
AutoDetect=off
NodeName=n[1-$nodes],localhost Name=gpu File=$dir/dev/nvidia[0-7]
CONF
export SLURM_CONF=$dir/slurm.conf
cd "$dir"
slurmctld
for i in $(seq 1 "$nodes"); do slurmd -N "n$i"; done
slurmd -N localhost

for _ in $(seq 1 60); do
  if [ "$(sinfo --noheader --Node --states=idle --format=%N 2>/dev/null | wc -l)" -eq $((nodes + 1)) ]; then exit 0; fi
  sleep 0.5
done
echo "slurm: not all of $nodes nodes are ready after 30 s; see $dir/log" >&2
sinfo >&2 || true
exit 1
