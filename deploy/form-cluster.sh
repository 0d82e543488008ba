#!/bin/sh
# Forms a cluster of the given nodes (IP:port), three primaries and their replicas. Does nothing if it exists already.
set -eu

for node in "$@"; do
    tries=60
    until [ "$(redis-cli -h "${node%:*}" -p "${node#*:}" ping 2>/dev/null)" = PONG ]; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "$node does not answer" >&2; exit 1; }
        sleep 1
    done
done

first=$1
assigned=$(redis-cli -h "${first%:*}" -p "${first#*:}" cluster info | tr -d '\r' | sed -n 's/^cluster_slots_assigned://p')
if [ "$assigned" = 16384 ]; then
    echo "the cluster is there already"
    exit 0
fi
redis-cli --cluster create "$@" --cluster-replicas 1 --cluster-yes
