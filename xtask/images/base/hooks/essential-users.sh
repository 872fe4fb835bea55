#!/bin/sh
# Numbers that manifests may name in runAsUser and fsGroup. They are those of the real images: postgres 999 (official
# postgres image), acoustid 1000 (first user of the acoustid images). Made before the packages that would pick others.
set -eu
root=$1
user() { # name id home shell
    echo "$1:x:$2:$2::$3:$4" >> "$root/etc/passwd"
    echo "$1:x:$2:" >> "$root/etc/group"
    echo "$1:*:19000:0:99999:7:::" >> "$root/etc/shadow"
    echo "$1:*::" >> "$root/etc/gshadow"
}
user postgres 999 /var/lib/postgresql /bin/bash
user acoustid 1000 /home/acoustid /bin/bash
mkdir -p "$root/home/acoustid"
chown 1000:1000 "$root/home/acoustid"
