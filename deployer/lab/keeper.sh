#!/bin/sh
# Keeps one machine: keeper.sh PID_FILE CONSOLE CGROUPS COMMAND...
# CGROUPS are the control groups to be in, with colons between them; none where systemd has made one already.
# With --keep-unit systemd-nspawn ends with 133 when the machine in it reboots, and leaves the starting again to its caller.
echo $$ >"$1"
exec >>"$2" 2>&1 </dev/null
IFS=:
for group in $3; do echo $$ >"$group/cgroup.procs"; done
unset IFS
shift 3
while "$@"; [ $? -eq 133 ]; do :; done
