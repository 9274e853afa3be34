/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When fork and exec were entered, and those that failed: three providers, of which user space loads
 * one.
 *   fentry/fexit      on the kernel's functions behind the calls: costs nobody else anything
 *   percpu + uprobe   tp_btf/percpu_alloc_percpu fires when the new address space is made; libc's
 *                     execve() tells of failures
 *   tracepoints       of exactly these calls; they put every system call of the machine on the slow
 *                     path, so they are for commands and on request
 */

static __always_inline void fork_entered(void)
{
	struct task_state *st = state_of_caller(bpf_get_current_task_btf());

	/* Refused: the entry is not known, the fork is. */
	if (!st)
		return;
	st->fork_entry_ns = bpf_ktime_get_boot_ns();
	st->fork_waited_ns = waited_ever(bpf_get_current_task_btf());
	st->flags &= ~TASK_FORK_MM;
	if (is_tracked(st))
		want_waking();
}

static __always_inline void fork_left(__s64 ret, __s32 nr)
{
	struct task_struct *task;
	struct task_state *st;
	struct event_fork_fail *ev;

	if (ret >= 0)
		return;
	task = bpf_get_current_task_btf();
	st = state_of_current(task);
	if (!st || !is_tracked(st))
		return;
	/* Restarted by a signal: not the end of it. */
	if (ret <= -512)
		return;
	ev = ring_reserve(sizeof(*ev));
	if (!ev)
		return;
	head_fill(&ev->head, EVENT_FORK_FAIL, sizeof(*ev), task, bpf_ktime_get_boot_ns());
	ev->entry_ns = st->fork_entry_ns;
	ev->error = -ret;
	ev->nr = nr;
	bpf_ringbuf_submit(ev, wake_flags());
	st->fork_entry_ns = 0;
}

static __always_inline void exec_entered(__u64 path)
{
	struct task_state *st = state_of_caller(bpf_get_current_task_btf());

	if (!st)
		return;
	st->exec_entry_ns = bpf_ktime_get_boot_ns();
	st->exec_path = path;
	st->flags &= ~TASK_EXEC_MM;
	watch_begin(bpf_get_current_task_btf(), st, st->exec_entry_ns);
}

static __always_inline void exec_left(__s64 ret)
{
	struct task_struct *task;
	struct task_state *st;

	if (ret >= 0)
		return;
	task = bpf_get_current_task_btf();
	st = state_of_current(task);
	if (!st || !is_tracked(st))
		return;
	/* Interrupted: another thread executes, or a signal ends the process. Nobody gets to see that error. */
	if (ret <= -512) {
		st->exec_entry_ns = 0;
		st->exec_path = 0;
		return;
	}
	exec_failed(task, st, -ret);
}

/* ---- provider: tracepoints of the calls ---- */

/* One program for each kind of call: attached to all of them. */
SEC("?tp/syscalls/sys_enter_clone")
int enter_fork(struct trace_event_raw_sys_enter *ctx)
{
	fork_entered();
	return 0;
}

SEC("?tp/syscalls/sys_exit_clone")
int exit_fork(struct trace_event_raw_sys_exit *ctx)
{
	fork_left(ctx->ret, ctx->id);
	return 0;
}

SEC("?tp/syscalls/sys_enter_execve")
int enter_exec(struct trace_event_raw_sys_enter *ctx)
{
	__u64 path = ctx->args[0], at_path = ctx->args[1];

	/* Both are read here: the verifier allows no load from a place in the context that it does not know. */
	barrier_var(path);
	barrier_var(at_path);
	/* execveat has the folder's descriptor first. */
	exec_entered(ctx->id == NR_EXECVEAT ? at_path : path);
	return 0;
}

SEC("?tp/syscalls/sys_exit_execve")
int exit_exec(struct trace_event_raw_sys_exit *ctx)
{
	exec_left(ctx->ret);
	return 0;
}

/* ---- provider: fentry/fexit on the calls' functions ---- */

#if defined(__TARGET_ARCH_x86)
#define CALL_PREFIX "__x64_sys_"
#define CALL_ARG0(regs) ((regs)->di)
#define CALL_ARG1(regs) ((regs)->si)
#elif defined(__TARGET_ARCH_arm64)
#define CALL_PREFIX "__arm64_sys_"
#define CALL_ARG0(regs) ((regs)->regs[0])
#define CALL_ARG1(regs) ((regs)->regs[1])
#endif

/*
 * One function makes every process. (The system calls' own functions will not do: BTF leaves out those
 * without arguments, fork's and vfork's.)
 */
SEC("?fentry/kernel_clone")
int BPF_PROG(fentry_clone)
{
	fork_entered();
	return 0;
}

SEC("?fexit/kernel_clone")
int BPF_PROG(fexit_clone, void *args, long ret)
{
	struct task_struct *task = bpf_get_current_task_btf();

	fork_left(ret, syscall_nr((void *)bpf_task_pt_regs(task)));
	return 0;
}

#define EXEC_FENTRY(name, arg)                                              \
	SEC("?fentry/" CALL_PREFIX #name)                                   \
	int BPF_PROG(fentry_##name, struct pt_regs *regs)                   \
	{                                                                   \
		exec_entered(arg(regs));                                    \
		return 0;                                                   \
	}                                                                   \
	SEC("?fexit/" CALL_PREFIX #name)                                    \
	int BPF_PROG(fexit_##name, struct pt_regs *regs, long ret)          \
	{                                                                   \
		exec_left(ret);                                             \
		return 0;                                                   \
	}

EXEC_FENTRY(execve, CALL_ARG0)
EXEC_FENTRY(execveat, CALL_ARG1)

/* ---- provider: the new address space's allocation, and libc's execve ---- */

/*
 * mm_init() allocates per-CPU counters, once for a fork and once for an exec, in a burst of a few
 * microseconds of which the first counts. A later burst within the same second or so means that the
 * earlier call failed, so a stamp older than a millisecond gives way.
 */
#define BURST_NS 1000000

static __always_inline bool stamp(__u64 *at, __u32 *flags, __u32 flag)
{
	__u64 now = bpf_ktime_get_boot_ns();

	if (*at && now - *at < BURST_NS)
		return false;
	*at = now;
	*flags |= flag;
	return true;
}

SEC("?tp_btf/percpu_alloc_percpu")
int BPF_PROG_THAT_STAYS(on_percpu_alloc)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *st = state_of_current(task);

	if (!st && !trace_all)
		return 0;
	if (plain(task)->flags & PF_KTHREAD)
		return 0;
	switch (syscall_nr((void *)bpf_task_pt_regs(task))) {
#if defined(__TARGET_ARCH_x86)
	case 56: case 57: case 435:
#elif defined(__TARGET_ARCH_arm64)
	case 220: case 435:
#endif
		if (!st)
			st = state_make(task);
		if (st && stamp(&st->fork_entry_ns, &st->flags, TASK_FORK_MM)) {
			st->fork_waited_ns = waited_ever(task);
			if (is_tracked(st))
				want_waking();
		}
		break;
#if defined(__TARGET_ARCH_x86)
	case 59: case 322:
#elif defined(__TARGET_ARCH_arm64)
	case 221: case 281:
#endif
		if (!st)
			st = state_make(task);
		/* An entry seen at libc's execve is the better one. */
		if (st && !(st->exec_entry_ns && !(st->flags & TASK_EXEC_MM)))
			stamp(&st->exec_entry_ns, &st->flags, TASK_EXEC_MM);
		break;
	}
	return 0;
}

SEC("?uprobe")
int BPF_UPROBE(on_libc_execve, const char *path)
{
	struct task_state *st = state_of_current(bpf_get_current_task_btf());

	if (is_tracked(st))
		exec_entered((__u64)path);
	return 0;
}

SEC("?uretprobe")
int BPF_URETPROBE(on_libc_execve_return)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *st = state_of(task);

	/* It returns only if it failed; the errno lies in thread-local storage. */
	if (st && is_tracked(st))
		exec_failed(task, st, 0);
	return 0;
}
