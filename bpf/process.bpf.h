/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What else is told of a process: its ids, signals, session and registers.
 */
#ifndef STARTRACE_PROCESS_H
#define STARTRACE_PROCESS_H

static __always_inline __u32 pid_level(struct task_struct *task)
{
	return READ(struct pid, plain(task)->thread_pid, level);
}

/* Process id in the task's own PID namespace. */
static __always_inline __u32 own_ns_pid(struct task_struct *task)
{
	struct pid *pid = plain(task)->thread_pid;
	__u32 level = READ(struct pid, pid, level);
	struct upid upid = {};

	if (!level)
		return READ(struct pid, pid, numbers[0].nr);
	if (level > 32)
		return 0;
	/* Read as a number: older kernels allow no arithmetic with this on a typed pointer. */
	pid = BPF_CORE_READ(task, thread_pid);
	bpf_probe_read_kernel(&upid, sizeof(upid),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      level * bpf_core_type_size(struct upid));
	return upid.nr;
}

#define SIG_IGN_HANDLER 1

struct handlers {
	__u64 of[6];
};

/* Signals that are ignored (low half) and handled (high half); bit 0 is signal 1. */
__noinline __u64 dispositions(struct handlers *handlers)
{
	const __u32 bits[6] = { 1 << 0, 1 << 1, 1 << 2, 1 << 12, 1 << 14, 1 << 16 };
	__u64 found = 0;

	if (!handlers)
		return 0;
	for (int i = 0; i < 6; i++) {
		if (handlers->of[i] == SIG_IGN_HANDLER)
			found |= bits[i];
		else if (handlers->of[i])
			found |= (__u64)bits[i] << 32;
	}
	return found;
}

static __always_inline __u64 signals_of(struct sighand_struct *sighand)
{
	struct handlers handlers;

	/* HUP, INT, QUIT, PIPE, TERM, CHLD */
	handlers.of[0] = (__u64)sighand->action[0].sa.sa_handler;
	handlers.of[1] = (__u64)sighand->action[1].sa.sa_handler;
	handlers.of[2] = (__u64)sighand->action[2].sa.sa_handler;
	handlers.of[3] = (__u64)sighand->action[12].sa.sa_handler;
	handlers.of[4] = (__u64)sighand->action[14].sa.sa_handler;
	handlers.of[5] = (__u64)sighand->action[16].sa.sa_handler;
	return dispositions(&handlers);
}

static __always_inline __u32 session_facts(struct signal_struct *signal)
{
	__u32 facts = 0;

	if (signal->leader)
		facts |= FACT_SESSION_LEADER;
	if (signal->tty)
		facts |= FACT_HAS_TTY;
	return facts;
}

/*
 * The process group, and whether it is the foreground one of the controlling terminal: a shell with
 * job control gives each job a group, and the terminal to that in the foreground. (`ctrl` came with
 * 5.14, before anything that the other programs need.)
 */
static __always_inline __u32 group_facts(struct signal_struct *signal, __u32 *number)
{
	struct pid *group = READ(struct signal_struct, signal, pids[PIDTYPE_PGID]);
	struct tty_struct *tty = READ(struct signal_struct, signal, tty);

	*number = READ(struct pid, group, numbers[0].nr);
	if (!tty || !bpf_core_field_exists(struct tty_struct, ctrl.pgrp))
		return 0;
	if (READ(struct tty_struct, tty, ctrl.pgrp) != group)
		return FACT_FOREGROUND_KNOWN;
	return FACT_FOREGROUND_KNOWN | FACT_FOREGROUND;
}

/* The system call that a task is in, from its saved registers; -1 outside of one. */
static __always_inline __s32 syscall_nr(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	return regs->orig_ax;
#elif defined(__TARGET_ARCH_arm64)
	return regs->syscallno;
#endif
}

/* Resident memory of an address space, in bytes. */
static __always_inline __u64 rss_of(struct mm_struct *mm)
{
	struct mm_struct___rss_struct *old = (void *)mm;
	__s64 pages;

	if (!mm)
		return 0;
	/* Files, anonymous, swap entries, shared memory; per CPU since 6.2, where this is the main part. */
	if (bpf_core_field_exists(old->rss_stat.count))
		pages = BPF_CORE_READ(old, rss_stat.count[0].counter) + BPF_CORE_READ(old, rss_stat.count[1].counter) +
			BPF_CORE_READ(old, rss_stat.count[3].counter);
	else
		pages = READ(struct mm_struct, mm, rss_stat[0].count) + READ(struct mm_struct, mm, rss_stat[1].count) +
			READ(struct mm_struct, mm, rss_stat[3].count);
	return pages > 0 ? pages * page_bytes : 0;
}

#endif
