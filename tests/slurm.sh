#!/bin/bash
# A Slurm of one machine from Debian's packages, for tests/flow/test_slurm.py.
#
#   tests/slurm.sh start   installs slurm-wlm and munge where they are missing, writes /etc/slurm, starts the three daemons, waits
#                          until the node is idle. Exits 3, with one line that says why, where that cannot be done.
#   tests/slurm.sh stop    ends the daemons that start has started, and takes their configuration away.
#
# The node has one GPU for Slurm (/dev/null), which no program can use: what is tested is who asks for it.
set -eu
STATE=/run/difftables-slurm
MARK="# written by difftables' tests/slurm.sh"

cannot() {
    echo "no Slurm here: $1"
    exit 3
}

ours() { # name: whether the daemon that start has started still runs
    [ -f "$STATE/$1.pid" ] && [ "$(cat "/proc/$(cat "$STATE/$1.pid")/comm" 2>/dev/null)" = "$1" ]
}

install() {
    [ "$(id -u)" = 0 ] || cannot "only root can install and start it"
    if ! { command -v slurmctld && command -v slurmd && command -v munged; } >/dev/null; then
        command -v apt-get >/dev/null || cannot "there is no apt-get"
        export DEBIAN_FRONTEND=noninteractive
        { apt-get install -y --no-install-recommends slurm-wlm munge || { apt-get update && apt-get install -y --no-install-recommends slurm-wlm munge; }; } \
            >"$STATE/apt.log" 2>&1 || cannot "apt-get install slurm-wlm munge failed ($(tail -n 1 "$STATE/apt.log"))"
    fi
    if [ -s /etc/slurm/slurm.conf ] && ! grep -qF "$MARK" /etc/slurm/slurm.conf; then
        cannot "/etc/slurm/slurm.conf is of another Slurm"
    fi
}

configure() {
    local name cores memory
    name=$(hostname -s)
    cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
    memory=$((cores * 2500)) # a job of 2000 MB for each core, whatever the machine has: nothing is confined
    mkdir -p /etc/slurm "$STATE/ctld" "$STATE/d"
    # No accounting, no cgroups, no systemd: none of them is there in a container.
    cat >/etc/slurm/slurm.conf <<END
$MARK
ClusterName=difftables
SlurmctldHost=$name(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
CommunicationParameters=NoCtldInAddrAny
MpiDefault=none
MinJobAge=300
ReturnToService=2
KillWait=30
StateSaveLocation=$STATE/ctld
SlurmdSpoolDir=$STATE/d
SlurmctldPidFile=$STATE/slurmctld.own
SlurmdPidFile=$STATE/slurmd.own
SlurmctldLogFile=$STATE/slurmctld.log
SlurmdLogFile=$STATE/slurmd.log
GresTypes=gpu
NodeName=$name NodeAddr=127.0.0.1 CPUs=$cores RealMemory=$memory Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=$name Default=YES MaxTime=INFINITE State=UP
END
    echo "NodeName=$name Name=gpu File=/dev/null" >/etc/slurm/gres.conf
    printf 'CgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\n' >/etc/slurm/cgroup.conf
}

launch() { # name command...: a daemon in the background, its id kept
    local name=$1
    shift
    ours "$name" && return
    setsid "$@" </dev/null >"$STATE/$name.out" 2>&1 &
    echo $! >"$STATE/$name.pid"
}

start() {
    mkdir -p "$STATE" 2>/dev/null || cannot "only root can install and start it"
    install
    ours slurmctld || configure
    if ! munge -n 2>/dev/null | unmunge >/dev/null 2>&1; then
        [ -s /etc/munge/munge.key ] || (umask 077 && head -c 128 /dev/urandom >/etc/munge/munge.key)
        mkdir -p /run/munge /var/log/munge
        chown -R munge:munge /etc/munge /run/munge /var/log/munge
        chmod 755 /run/munge
        launch munged setpriv --reuid=munge --regid=munge --clear-groups munged --foreground
        for _ in $(seq 50); do munge -n 2>/dev/null | unmunge >/dev/null 2>&1 && break || sleep 0.2; done
    fi
    launch slurmctld slurmctld -D
    launch slurmd slurmd -D
    for _ in $(seq 150); do
        case "$(sinfo -h -o %T 2>/dev/null)" in
        idle | mixed | allocated) exit 0 ;;
        down* | drain*) scontrol update "NodeName=$(hostname -s)" State=RESUME 2>/dev/null || true ;;
        esac
        sleep 0.2
    done
    reason=$(tail -qn 1 "$STATE/slurmctld.log" "$STATE/slurmd.log" 2>/dev/null | tr '\n' ' ')
    stop
    cannot "it does not get ready ($reason)"
}

stop() {
    for name in slurmd slurmctld munged; do
        if ours "$name"; then
            pid=$(cat "$STATE/$name.pid")
            kill "$pid"
            for _ in $(seq 100); do ours "$name" && sleep 0.1 || break; done
        fi
        rm -f "$STATE/$name.pid"
    done
    # Else every snakemake start here asks the stopped Slurm for ten seconds.
    if grep -qsF "$MARK" /etc/slurm/slurm.conf; then rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf /etc/slurm/cgroup.conf; fi
}

case "${1:-}" in
start) start ;;
stop) stop ;;
*) sed -n '2,/^set/{/^#/p}' "$0" >&2 && exit 2 ;;
esac
