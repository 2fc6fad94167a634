# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A container that boots this host's system with real systemd, D-Bus and polkit. Sourced by suite.sh.
# What is written in it goes to a tmpfs above the host's root file system, and is gone with it.

container_dir=''    # scratch on the host; its parts: upper and work (overlay), console
container_root=''   # the container's root file system, as seen from the host
container_nspawn='' # pid of systemd-nspawn
container_leader='' # pid of the container's systemd
container_groups=() # its control groups, as the host sees them

# Why there can be no container here; nothing where there can.
container_obstacle() {
    local program

    [ "$(id -u)" -eq 0 ] || { echo 'only root can boot a container'; return; }
    for program in systemd-nspawn nsenter unshare busctl gdbus; do
        command -v "$program" >/dev/null || { echo "$program is not there"; return; }
    done
    grep -qw overlay /proc/filesystems || modprobe -q overlay || echo 'the kernel has no overlayfs'
}

# Becomes a command in the container, as root.
exec_inside() {
    exec nsenter -t "$container_leader" -m -u -i -n -p -- "$@" </dev/null
}

# Runs one.
inside() { (exec_inside "$@"); }

# inside_as USER COMMAND...
inside_as() {
    inside setpriv --reuid "$1" --regid "$1" --init-groups --reset-env -- "${@:2}"
}

# Looks again and again, for a minute, or as many as VMDISK_TEST_PATIENCE says.
eventually() {
    local deadline=$((SECONDS + 60 * ${VMDISK_TEST_PATIENCE:-1}))

    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || { echo "Waited too long for: $*"; return 1; }
        sleep 0.1
    done
}

# The units of the host stay out: what boots is basic.target, with nothing pulled in.
container_quiet() {
    local system=$container_root/etc/systemd/system

    : >"$container_root/etc/machine-id"
    rm -rf "$system"/*.wants "$system"/*.requires
    ln -sf /dev/null "$system/timers.target"
}

# container_bus NAME: the D-Bus daemon, "dbus-daemon" or "dbus-broker".
container_bus() {
    local system=$container_root/etc/systemd/system

    rm -f "$system/dbus.service"
    [ "$1" = dbus-daemon ] || ln -s "/lib/systemd/system/$1.service" "$system/dbus.service"
}

# Control groups of its own, in each hierarchy in which systemd may keep its units (cgroup2, version 1 or
# both). With --keep-unit the container stays in the group that systemd-nspawn is started in: two in one
# would have the same units in the same groups, and kill each other's processes.
container_find_groups() {
    local root
    for root in /sys/fs/cgroup{,/unified,/systemd}; do
        [ ! -w "$root/cgroup.procs" ] || container_groups+=("$root/vmdisk-test-$$")
    done
}

container_enter_groups() {
    local group
    for group in "${container_groups[@]}"; do
        mkdir "$group" && echo "$BASHPID" >"$group/cgroup.procs"
    done
}

container_leave_groups() {
    local group
    for group in "${container_groups[@]}"; do
        [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + || true
    done
}

# There are other children before it.
container_find_leader() {
    container_leader=$(pgrep -P "$container_nspawn" -x systemd)
    [ -n "$container_leader" ]
}

# "starting" is no failure: it waits for the end of it.
container_is_up() {
    local state
    state=$(inside systemctl is-system-running --wait || true)
    [ "$state" = running ] || [ "$state" = degraded ]
}

# container_start BUS
container_start() {
    container_dir=$(mktemp -d)
    mount -t tmpfs -o mode=0755 vmdisk-test "$container_dir"
    mkdir "$container_dir"/{upper,work,root}
    container_root=$container_dir/root
    mount -t overlay vmdisk-test -o "lowerdir=/,upperdir=$container_dir/upper,workdir=$container_dir/work" \
        "$container_root"
    container_quiet
    container_bus "$1"

    container_find_groups
    (
        container_enter_groups
        exec setsid systemd-nspawn -q -D "$container_root" -M "vmdisk-test-$$" --register=no --keep-unit \
            --link-journal=no --capability=all --private-network -b systemd.unit=basic.target
    ) </dev/null >"$container_dir/console" 2>&1 &
    container_nspawn=$!
    eventually container_find_leader && eventually container_is_up && inside systemctl start dbus
}

container_is_down() { ! kill -0 "$container_nspawn"; }

container_stop() {
    if [ -n "$container_nspawn" ]; then
        # A shutdown; what does not shut down in time is killed.
        kill -TERM "$container_nspawn" 2>/dev/null || true
        eventually container_is_down ||
            kill -KILL "$container_leader" "$container_nspawn" 2>/dev/null || true
        wait "$container_nspawn" 2>/dev/null || true
        rmdir "/run/systemd/nspawn/propagate/vmdisk-test-$$" 2>/dev/null || true
        container_leave_groups
    fi
    if [ -n "$container_root" ]; then
        umount -l "$container_root" || true
        umount -l "$container_dir" && rmdir "$container_dir"
    fi
}
