/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Signals: those to the command, and who sent those that end a process. The tracer passes on to the command what was sent
 * to the tracer alone; what was sent to a group that both are in, or to all of a control group, has reached the command by
 * itself.
 */

__u32 command_tgid = 0;                     /* 0: there is none */
__u64 command_signalled_ns[3] = {};         /* when SIGHUP, SIGINT and SIGTERM were last sent to it */

#define SIGHUP 1
#define SIGINT 2
#define SIGKILL 9
#define SIGTERM 15
#define SIGCHLD 17
#define SIGNALS 64

#define SI_USER 0
#define SI_QUEUE (-1)
#define SI_TKILL (-6)
#define SIGNAL_DELIVERED 0

static __always_inline void signal_to_command(int sig)
{
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
}

/* By a system call of the current task, and not by the kernel in whoever's context: 0 stands for kill() as well. */
static __always_inline bool is_from_current(void *info)
{
	__s32 code;

	if (!info)
		return true;
	if ((__u64)info == 1)
		return false;
	code = BPF_CORE_READ((struct kernel_siginfo *)info, si_code);
	return code == SI_USER || code == SI_QUEUE || code == SI_TKILL;
}

/* Does the process handle the signal, or ignore it? Else it will end by it, or stop, or nothing happens. */
static __always_inline bool is_handled(struct task_struct *task, __u32 sig)
{
	__u64 hand = (__u64)BPF_CORE_READ(task, sighand);

	if (sig == SIGKILL)
		return false;
	if (!hand || !sig || sig > SIGNALS)
		return true;
	hand += bpf_core_field_offset(struct sighand_struct, action) +
		(sig - 1) * bpf_core_type_size(struct k_sigaction) +
		bpf_core_field_offset(struct k_sigaction, sa.sa_handler);
	return pointer_at((void *)hand) != NULL;
}

/* Told when it is sent: at the end of the process nobody knows any more. */
static __always_inline void tell_signal(struct task_struct *task, __u32 sig)
{
	struct task_struct *sender = plain(bpf_get_current_task_btf());
	struct event_signal *ev = ring_reserve(sizeof(*ev));

	if (!ev)
		return;
	head_fill(&ev->head, EVENT_SIGNAL, sizeof(*ev), task, bpf_ktime_get_boot_ns());
	ev->sender_birth_ns = sender->group_leader->start_boottime;
	ev->sender_pid = sender->tgid;
	ev->signal = sig;
	__builtin_memcpy(ev->comm, sender->group_leader->comm, COMM_LEN);
	/* No wake-up here: locks of the receiver are held. */
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
}

SEC("tp_btf/signal_generate")
int BPF_PROG(on_signal, int sig, void *info, struct task_struct *task, int group, int result)
{
	struct task_state *st;

	/* One comes with the end of each child. */
	if (sig == SIGCHLD)
		return 0;
	if (command_tgid && (__u32)plain(task)->tgid == command_tgid)
		signal_to_command(sig);
	st = state_of(task);
	if (!st || !is_tracked(st) || result != SIGNAL_DELIVERED)
		return 0;
	/* From itself: abort(), or what the kernel sends to who has just done something wrong. */
	if (plain(task)->tgid == (int)(bpf_get_current_pid_tgid() >> 32))
		return 0;
	if (is_from_current(info) && !is_handled(task, sig))
		tell_signal(task, sig);
	return 0;
}
