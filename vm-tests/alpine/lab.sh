#!/bin/sh
# What the root of an Alpine guest says at the end of its boot: in place of its init (init=/lab/lab.sh), or as the last
# entry of inittab. The marker in the data is written by the first boot and read by the next.
say() {
    echo "@@begin $1"
    cat "$2"
    echo "@@finish $1"
}

export PATH=/usr/sbin:/usr/bin:/sbin:/bin
{
    if [ -e /var/cache/system/marker ]; then
        echo "@@marker $(cat /var/cache/system/marker)"
    elif [ -e /run/zosstorage/state.json ]; then
        echo "kept across boots" >/var/cache/system/marker
    fi
    [ -e /run/openrc/softlevel ] && rc-status --all >/tmp/rc-status && say rc-status /tmp/rc-status
    [ -e /run/openrc/softlevel ] && rc-service zosstorage status >/tmp/status 2>&1
    echo "@@status $?"
    [ -e /tmp/status ] && say status /tmp/status
    [ -e /run/zosstorage/state.json ] && say report /run/zosstorage/state.json
    [ -e /run/zosstorage/zosstorage.log ] && say log /run/zosstorage/zosstorage.log
    say mountinfo /proc/self/mountinfo
    echo "@@root $(cut -d' ' -f1 /proc/uptime)"
    echo "@@end"
} >/dev/console 2>&1
sync
poweroff -f
