#!/bin/sh
# The manners of the official image: options alone mean redis-server, and started as root it steps down to user 999.
set -eu
case ${1:-} in
"") set -- redis-server ;;
-* | *.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    chown 999:999 .
    exec setpriv --reuid=999 --regid=999 --clear-groups -- "$0" "$@"
fi
exec "$@"
