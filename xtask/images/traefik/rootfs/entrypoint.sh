#!/bin/sh
# Options alone, or a subcommand, mean traefik.
case ${1:-} in
"" | -*) set -- traefik "$@" ;;
esac
exec "$@"
