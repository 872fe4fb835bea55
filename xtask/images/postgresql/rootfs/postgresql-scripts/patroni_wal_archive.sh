#!/bin/sh
# archive_command: %p
exec wal-g wal-push "$1"
