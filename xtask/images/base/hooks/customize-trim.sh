#!/bin/sh
# The locale that initdb is asked for, then everything away that only building needed.
set -eu
root=$1
chroot "$root" localedef -i en_US -f UTF-8 en_US.UTF-8
rm -rf "$root/usr/share/i18n" "$root"/usr/share/postgresql/15/man "$root/usr/sbin/policy-rc.d" "$root"/var/log/* "$root"/var/cache/debconf/*-old \
    "$root"/var/lib/dpkg/*-old "$root/etc/redis/redis.conf"
rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
install -d -o 999 -g 999 -m 2775 "$root/run/postgresql"
install -d -o 999 -g 999 -m 750 "$root/var/log/pgbackrest"
