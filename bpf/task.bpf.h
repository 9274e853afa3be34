/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the time of a start goes: every nanosecond of every task of a process that is in its start, and
 * moments that those tasks pass. Told in records that tile a task's time (see event.h).
 *
 * A task's own fields are written by the task itself (it is the current one, or is being switched to on
 * this CPU), all but the waker's, which sched_waking writes and nobody reads before the task is back.
 */

/* Off-CPU times of this length get a record of their own. */
#define TOLD_NS 100000
/* A task that was silent for so long says how it spent that time when it leaves the CPU. */
#define SILENT_NS 20000000

#define TASK_STATE_STOPPED 4
#define TASK_STATE_TRACED 8
#define TASK_STATE_UNINTERRUPTIBLE 2
#define HARDIRQ_BITS 0xf0000
#define SOFTIRQ_SERVED 0x100

/* ---- leaving the CPU and coming back ---- */

static __always_inline bool is_throttled(struct task_struct *task)
{
	struct task_struct___throttled *new = (void *)plain(task);

	if (bpf_core_field_exists(new->throttled))
		return BPF_CORE_READ(new, throttled);
	if (bpf_core_field_exists(struct cfs_rq, throttle_count))
		return BPF_CORE_READ(task, se.cfs_rq, throttle_count) > 0;
	return false;
}

/*
 * Does it wait for memory to be reclaimed, or for its cgroup to get some? Pressure accounting tells where it
 * is switched on; reclaim by the task itself shows on any kernel.
 */
static __always_inline bool lacks_memory(struct task_struct *task)
{
	if (plain(task)->flags & PF_MEMALLOC)
		return true;
	if (bpf_core_field_exists(task->in_memstall) && BPF_CORE_READ_BITFIELD(plain(task), in_memstall))
		return true;
	return bpf_core_field_exists(task->memcg_in_oom) && plain(task)->memcg_in_oom;
}

#define NO_CLIENTS (~0ULL)

/*
 * Fills in what the current task will wait for, on its way off the CPU. Returns the socket as a number where it waits for
 * clients (0: not known which), else NO_CLIENTS.
 */
__noinline __u64 settle_kind(struct task_state *st, __u32 preempt)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
	struct files_struct *files;
	struct task_state *leader;
	__u64 found, table = 0, listener = 0;
	__u32 state, kind;

	if (!st)
		return NO_CLIENTS;
	st->facts = 0;
	st->fd = -1;
	st->nr = -1;
	st->timeout_ns = 0;
	st->members = 0;
	st->args[0] = st->args[1] = st->args[2] = 0;
	state = plain(task)->__state;
	if (preempt || !state) {
		st->kind = is_throttled(task) ? WAIT_THROTTLED : WAIT_CPU;
		return NO_CLIENTS;
	}
	if (state & TASK_STATE_UNINTERRUPTIBLE)
		st->facts |= FACT_UNINTERRUPTIBLE;
	if (BPF_CORE_READ_BITFIELD(plain(task), in_iowait))
		st->facts |= FACT_IOWAIT;
	st->nr = syscall_nr(regs);
	if (st->nr >= 0) {
		st->args[0] = call_arg(regs, 0);
		st->args[1] = call_arg(regs, 1);
		st->args[2] = call_arg(regs, 2);
	}
	if (state & (TASK_STATE_STOPPED | TASK_STATE_TRACED)) {
		st->kind = WAIT_STOPPED;
		return NO_CLIENTS;
	}
	if (lacks_memory(task)) {
		st->kind = WAIT_MEMORY;
		return NO_CLIENTS;
	}
	if (st->nr < 0) {
		st->kind = st->facts & (FACT_IOWAIT | FACT_UNINTERRUPTIBLE) ? WAIT_PAGE_FAULT : WAIT_OTHER;
		return NO_CLIENTS;
	}
#if defined(__TARGET_ARCH_x86)
	if (plain(task)->thread_info.status & TS_COMPAT) {
		st->facts |= FACT_COMPAT_CALL;
		st->kind = st->facts & FACT_IOWAIT ? WAIT_DISK : WAIT_OTHER;
		return NO_CLIENTS;
	}
#endif
	st->timeout_ns = time_out(regs, st->nr);
	kind = kind_of_child(st);
	if (kind) {
		st->kind = st->facts & FACT_IOWAIT ? WAIT_DISK : kind;
		return NO_CLIENTS;
	}
	files = plain(task)->files;
	if (files)
		table = NUMBER(READ(struct files_struct, files, fdt));
	leader = leader_of(task, st);
	/* A server is known for one: no more is to be found. */
	if (leader && (leader->flags & TASK_SERVES))
		leader = NULL;
	/* Each time anew: what the compiler would remember of it says nothing to older verifiers. */
	barrier_var(leader);
	if (leader)
		listener = leader->listener;
	found = kind_of_call(st, table, listener);
	barrier_var(leader);
	if (leader) {
		if (call_class(st->nr) == CALL_EPOLL && !(found & WAITS_FOR_CLIENTS)) {
			__u32 fd = epoll_listener(leader, files ? NUMBER(files) : 0, found >> 32);

			if (fd != NO_FD)
				found = FD_OF_KIND(fd) | WAIT_POLL | WAITS_FOR_CLIENTS;
		}
	}
	st->fd = found >> 32;
	kind = found & 0xff;
	/* A read from a file that does not wait for storage waits for whoever serves the file. */
	if (st->facts & FACT_IOWAIT)
		kind = WAIT_DISK;
	else if (kind == WAIT_DISK && !(st->facts & FACT_UNINTERRUPTIBLE))
		kind = WAIT_OTHER;
	st->kind = kind;
	if (!(found & WAITS_FOR_CLIENTS))
		return NO_CLIENTS;
	barrier_var(leader);
	if (!leader)
		return NO_CLIENTS;
	leader->flags |= TASK_SERVES;
	return listening_sock(table, st->fd, leader->listener);
}

/*
 * For how long a task has had its CPU, by the scheduler's own account, whose clock is read when it was last set:
 * at a switch just now, else up to a tick ago. 0 where it cannot be told.
 */
static __always_inline __u64 turn_so_far(struct task_struct *task)
{
	__u64 clock, came;

	if (!bpf_core_field_exists(struct sched_info, last_arrival) || !bpf_core_field_exists(struct cfs_rq, rq))
		return 0;
	clock = BPF_CORE_READ(task, se.cfs_rq, rq, clock);
	came = BPF_CORE_READ(task, sched_info.last_arrival);
	return clock > came ? clock - came : 0;
}

/*
 * Since when a task that gets its CPU could run, by the scheduler's own account: how long it was in run queues since it
 * left the CPU, in the last of them until now. `now` where that is not kept.
 */
static __always_inline __u64 runnable_since(struct task_struct *task, struct task_state *st, __u64 now)
{
	__u64 clock, queued, waited;

	if (!bpf_core_field_exists(struct sched_info, last_queued) || !bpf_core_field_exists(struct cfs_rq, rq))
		return now;
	waited = waited_ever(task) - st->waited_ns;
	clock = BPF_CORE_READ(task, se.cfs_rq, rq, clock);
	queued = BPF_CORE_READ(task, sched_info.last_queued);
	if (queued && clock > queued)
		waited += clock - queued;
	return waited < now - st->off_ns ? now - waited : st->off_ns;
}

/*
 * Who had the CPU while the task waited for it: all that is known is who had it last, and since when. (Who had it before
 * would have to be noted at the switches of strangers, which are to cost nothing.)
 */
static __always_inline void come_back(struct task_struct *task, struct task_state *st,
				      struct task_struct *rival, __u64 now)
{
	struct wait_what what = { .now = now, .task = (__u64)task, .rival = (__u64)rival };
	__u64 blocked, total, wake = st->wake_ns;
	__u32 kind;

	if (!st->since_ns)
		st->since_ns = now;
	if (!st->off_ns || st->on_ns)
		goto out;
	total = now > st->off_ns ? now - st->off_ns : 0;
	kind = st->kind;
	blocked = total;
	if (kind == WAIT_CPU) {
		blocked = 0;
	} else if (kind != WAIT_THROTTLED) {
		/* Nobody looked at wake-ups then (see want_waking()), or this kernel did not trace this one. */
		if (!wake && rival != task)
			wake = runnable_since(task, st, now);
		if (wake) {
			what.wake_ns = wake < st->off_ns ? st->off_ns : wake;
			if (what.wake_ns < now)
				blocked = what.wake_ns - st->off_ns;
			else
				what.wake_ns = now;
		}
	}
	if (total >= TOLD_NS || kind == WAIT_OTHER) {
		if (is_settled(task, st))
			return;
		if (kind == WAIT_PAGE_FAULT)
			what.file = file_of_fault(task, st);
		/* One whose coming was not seen may be in another walk by now. */
		else if (total >= TOLD_NS && st->fd == NO_FD && rival != task)
			what.walk = walk_of(task);
		/* The idle task is nobody, and the task itself is told where its coming was not seen. */
		if (rival != task && plain(rival)->pid)
			what.rival_ns = turn_so_far(rival);
		write_wait(st, &what);
	} else {
		barrier_var(kind);
		if (kind < WAIT_KINDS)
			st->blocked_ns[kind] += blocked;
		st->runnable_ns += total - blocked;
	}
out:
	st->off_ns = 0;
	st->wake_ns = 0;
	st->waker_kind = WAKER_NONE;
	st->on_ns = now;
}

/*
 * When a task that runs got its CPU, by the scheduler's own account: its clock is read when it was last set, so
 * this can be late by a tick, and is never early. `now` where it cannot be told.
 */
static __always_inline __u64 arrival(struct task_struct *task, __u64 since, __u64 now)
{
	__u64 ran = turn_so_far(task);

	return ran < now - since ? now - ran : since;
}

/* It runs: if its coming was not seen, the scheduler knows when it was (see ran_unseen()). */
static __always_inline void came_unseen(struct task_struct *task, struct task_state *st, __u64 now)
{
	__u64 since;

	if (st->on_ns)
		return;
	since = st->wake_ns > st->off_ns ? st->wake_ns : st->off_ns;
	come_back(task, st, task, since && since < now ? arrival(task, since, now) : now);
}

static __always_inline void leave(struct task_struct *task, struct task_state *st, bool preempt,
				  __u64 now)
{
	struct mark_what what = { .now = now, .fd = -1 };
	__u64 clients;

	came_unseen(task, st, now);
	clients = settle_kind(st, preempt);
	if (clients != NO_CLIENTS) {
		what.mark = MARK_ACCEPT_WAIT;
		what.fd = st->fd;
		what.sock = clients;
		tell_name_of_unix(&what);
	} else if (now - st->since_ns >= SILENT_NS) {
		what.mark = MARK_SUMS;
	}
	if (what.mark) {
		write_mark(st, &what);
	} else if (now > st->on_ns) {
		st->running_ns += now - st->on_ns;
	}
	st->on_ns = 0;
	st->off_ns = now;
	st->waited_ns = waited_ever(task);
}

SEC("?tp_btf/sched_switch")
int BPF_PROG(on_switch_watched, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct task_state *st;
	__u64 now = 0;

	/* No start is under way: nobody's time is told, and whose start is over costs no more than anybody. */
	if (waking_hook == WAKING_OFF)
		return 0;
	st = state_of(prev);
	if (st && (st->flags & (TASK_WATCHED | TASK_FRESH))) {
		now = bpf_ktime_get_boot_ns();
		ran_unseen(prev, st, now, false);
		if (st->flags & TASK_WATCHED)
			leave(prev, st, preempt, now);
	}
	st = state_of(next);
	if (!st) {
		if (!plain(next)->se.sum_exec_runtime)
			first_run_refused(next);
		return 0;
	}
	if (st->flags & (TASK_WATCHED | TASK_FRESH)) {
		if (!now)
			now = bpf_ktime_get_boot_ns();
		first_run(next, st, now);
		if (st->flags & TASK_WATCHED)
			come_back(next, st, prev, now);
	}
	return 0;
}

static __always_inline struct task_struct *note_waker(struct task_state *st)
{
	struct task_struct *current = bpf_get_current_task_btf();
	struct task_struct *waker = plain(current);
	struct task_state *own = state_of(current);

	st->wake_ns = bpf_ktime_get_boot_ns();
	/* It runs, and has to be known to before anybody asks what it did until it woke the other. */
	if (is_watched(own) && own->off_ns)
		came_unseen(current, own, st->wake_ns);
	st->waker_pid = waker->tgid;
	st->waker_tid = waker->pid;
	__builtin_memcpy(st->waker_comm, waker->comm, COMM_LEN);
	return current;
}

static __always_inline __u32 task_or_kernel(struct task_struct *waker)
{
	return plain(waker)->flags & PF_KTHREAD ? WAKER_KERNEL : WAKER_TASK;
}

/*
 * Where the CPU's count of nested interrupts cannot be read, what is current tells: the idle task wakes
 * nobody but in an interrupt, and a task outside of a system call hardly anybody. A task that was
 * interrupted within one is not told from one that wakes by itself.
 */
SEC("?tp_btf/sched_waking")
int BPF_PROG(on_waking, struct task_struct *task)
{
	struct task_state *st = state_of(task);
	struct task_struct *waker;

	if (!is_watched(st))
		return 0;
	waker = note_waker(st);
	if (!plain(waker)->pid || (!(plain(waker)->flags & PF_KTHREAD) &&
			    syscall_nr((void *)bpf_task_pt_regs(waker)) < 0))
		st->waker_kind = WAKER_HARDIRQ;
	else
		st->waker_kind = task_or_kernel(waker);
	return 0;
}

#if defined(__TARGET_ARCH_x86)
/* 6.2 to 6.14 keep the count in a struct. */
struct pcpu_hot {
	int preempt_count;
} __attribute__((preserve_access_index));

extern const int __preempt_count __ksym __weak;
extern const struct pcpu_hot pcpu_hot __ksym __weak;
#endif

SEC("?tp_btf/sched_waking")
int BPF_PROG(on_waking_exact, struct task_struct *task)
{
	struct task_state *st = state_of(task);
	struct task_struct *waker;
	__u32 count = 0;

	if (!is_watched(st))
		return 0;
	waker = note_waker(st);
#if defined(__TARGET_ARCH_x86)
	if (&__preempt_count)
		count = *(int *)bpf_this_cpu_ptr(&__preempt_count);
	else if (&pcpu_hot)
		count = ((struct pcpu_hot *)bpf_this_cpu_ptr(&pcpu_hot))->preempt_count;
#else
	count = BPF_CORE_READ(waker, thread_info.preempt_count);
#endif
	if (count & HARDIRQ_BITS)
		st->waker_kind = WAKER_HARDIRQ;
	else if (count & SOFTIRQ_SERVED)
		st->waker_kind = WAKER_SOFTIRQ;
	else
		st->waker_kind = task_or_kernel(waker);
	return 0;
}
