#!/bin/busybox sh
# The first process of the virtual machine: runs each recording, sends all they left over the second serial line, and
# turns the machine off. What comes of it is judged outside.
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev 2>/dev/null
mount -t cgroup2 none /sys/fs/cgroup
ip link set lo up
export PATH=/opt:/programs:/bin
exec </dev/null
cd /out
uname -r >kernel

# Name, then options of record.
record() {
	name=$1
	shift
	echo "startrace-vm: $name, $(cut -d' ' -f1 /proc/uptime) s after boot"
	timeout 300 startrace -vv record -q -o "$name.json" "$@" >"$name.out" 2>"$name.err"
	echo $? >"$name.code"
}

# Starts that wait until the recording is on: its command lets them begin, and waits for their end.
waiting() {
	rm -f /tmp/go /tmp/done
	mkfifo /tmp/go /tmp/done
	sh -c 'read go </tmp/go; /bin/sh /starts.sh >/out/running.told; echo >/tmp/done' &
}
# After a pause in which nobody looks at wake-ups.
LET='sleep 2.5; echo >/tmp/go; read done </tmp/done'

startrace doctor >doctor.out 2>&1
echo $? >doctor.code
if [ "$(cat doctor.code)" = 0 ]; then
	record best -- sh /starts.sh
	export STARTRACE_NO_FENTRY=1
	record tracepoints -- sh /starts.sh
	waiting
	record running -p $! -- sh -c "$LET"
	unset STARTRACE_NO_FENTRY
	record everything -a --count 1 -- /opt/true everything
	record deep --level deep --profile 99 -- sh /deep.sh
	record clock -- sh /clock.sh
	record suspend -- sh /suspend.sh
else
	record best -- touch /out/ran
fi
stty -F /dev/ttyS1 raw
tar -cz . >/dev/ttyS1
poweroff -f
