#!/bin/sh
# `patroni` alone is given a configuration: $PATRONI_CONFIG_FILE, or the first usual file that exists, or none at all, when
# Patroni reads its PATRONI_* variables only. Any other command is run as it is. Started as root it steps down to postgres.
set -eu
if [ $# -eq 0 ]; then
    set -- patroni
fi
if [ "$1" = patroni ] && [ $# -eq 1 ]; then
    for file in "${PATRONI_CONFIG_FILE:-}" /etc/patroni/patroni.yml /etc/patroni/patroni.yaml /etc/patroni.yml /etc/patroni.yaml; do
        if [ -n "$file" ] && [ -e "$file" ]; then
            set -- patroni "$file"
            break
        fi
    done
fi
if [ "$(id -u)" = 0 ]; then
    exec setpriv --reuid=999 --regid=999 --init-groups -- "$@"
fi
exec "$@"
