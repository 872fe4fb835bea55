#!/bin/sh
# Without a command, or when told to by KEEP_ALIVE, the real image only stays up.
if [ $# -eq 0 ] || [ "${KEEP_ALIVE:-}" = 1 ] || [ "${KEEP_ALIVE:-}" = true ]; then
    exec sleep infinity
fi
exec "$@"
