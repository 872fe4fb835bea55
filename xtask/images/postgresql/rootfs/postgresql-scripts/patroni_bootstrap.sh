#!/bin/sh
# Patroni's custom bootstrap and replica method: fetches the newest base backup into --datadir=….
set -eu
datadir=
for argument in "$@"; do
    case $argument in
    --datadir=*) datadir=${argument#--datadir=} ;;
    esac
done
if [ -z "$datadir" ]; then
    echo "patroni_bootstrap.sh: --datadir=… is missing" >&2
    exit 1
fi
exec wal-g backup-fetch "$datadir" LATEST
