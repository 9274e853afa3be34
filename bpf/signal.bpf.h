/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Signals to the command. The tracer passes on to it what was sent to the tracer alone; what was sent to a group
 * that both are in, or to all of a control group, has reached the command by itself.
 */

__u32 command_tgid = 0;                     /* 0: there is none */
__u64 command_signalled_ns[3] = {};         /* when SIGHUP, SIGINT and SIGTERM were last sent to it */

#define SIGHUP 1
#define SIGINT 2
#define SIGTERM 15

SEC("tp_btf/signal_generate")
int BPF_PROG(on_signal, int sig, void *info, struct task_struct *task)
{
	if (!command_tgid || (__u32)plain(task)->tgid != command_tgid)
		return 0;
	switch (sig) {
	case SIGHUP:
		command_signalled_ns[0] = bpf_ktime_get_boot_ns();
		break;
	case SIGINT:
		command_signalled_ns[1] = bpf_ktime_get_boot_ns();
		break;
	case SIGTERM:
		command_signalled_ns[2] = bpf_ktime_get_boot_ns();
		break;
	}
	return 0;
}
