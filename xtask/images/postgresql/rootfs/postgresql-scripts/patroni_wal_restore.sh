#!/bin/sh
# restore_command: %f %p
exec wal-g wal-fetch "$1" "$2"
