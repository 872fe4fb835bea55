#!/bin/sh
# Debian's packages would create a database cluster and start servers while they are installed: neither belongs in an image.
set -eu
root=$1
mkdir -p "$root/etc/postgresql-common/createcluster.d" "$root/usr/sbin"
echo "create_main_cluster = false" > "$root/etc/postgresql-common/createcluster.d/none.conf"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
