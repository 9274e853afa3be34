/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The end of a process: its last thread, whichever that is.
 */

#define SIGNAL_GROUP_EXIT 4

/*
 * A worker of Python's multiprocessing closes the pipe ends that are its parent's and then opens
 * /dev/null, which takes the lowest of their numbers.
 */
static __always_inline __u32 null_on_pipe(struct task_struct *task, __u32 fd)
{
	struct files_struct *files = BPF_CORE_READ(task, files);
	struct event_fd what = {};

	if (!fd || !files)
		return 0;
	describe_fd((__u64)BPF_CORE_READ(files, fdt), fd, &what);
	return FACT_PIPE_FD_KNOWN | (what.kind == FD_NULL ? FACT_NULL_ON_PIPE_FD : 0);
}

struct children_walk {
	struct list_head *end;
	struct list_head *at;
	__u64 since_ns;
	__u32 older;
	__u32 done;
};

static long look_at_child(__u32 i, void *ctx)
{
	struct children_walk *w = ctx;
	struct list_head *at = w->at;
	struct task_struct *child;

	if (!at || at == w->end) {
		w->done = 1;
		return 1;
	}
	child = (void *)at - bpf_core_field_offset(struct task_struct, sibling);
	if (BPF_CORE_READ(child, start_boottime) < w->since_ns) {
		w->older = 1;
		return 1;
	}
	w->at = BPF_CORE_READ(at, next);
	return 0;
}

#define CHILDREN_STEPS 64

/*
 * Does a process leave children behind that nobody may have marked? Those born since seeding began
 * were marked at birth. Of several threads that end at once each has children of its own, so that
 * nothing is certain.
 */
static __always_inline bool leaves_unmarked(struct task_struct *task)
{
	struct children_walk w = { .since_ns = seeding_since_ns };

	task = plain(task);
	if (task->signal->nr_threads > 1)
		return true;
	w.end = (void *)task + bpf_core_field_offset(struct task_struct, children);
	w.at = BPF_CORE_READ(task, children.next);
	bpf_loop(CHILDREN_STEPS, look_at_child, &w, 0);
	return w.older || !w.done;
}

/* A watched task ends: the last that is told of it. */
static __always_inline void mark_end(struct task_struct *task, struct task_state *st, __u64 now)
{
	struct mark_what what = { .now = now, .mark = MARK_END, .fd = -1 };

	what.value = !!(plain(task)->signal->flags & SIGNAL_GROUP_EXIT);
	write_mark(st, &what);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG_THAT_STAYS(on_exit, struct task_struct *task)
{
	struct task_struct *about = plain(task);
	struct signal_struct *signal = about->signal;
	struct task_state *st;
	struct event_exit *ev;
	__u64 now = bpf_ktime_get_boot_ns();

	/* Before the first return: a thread, too, takes with it what was kept for it. */
	st = state_of_current(task);
	if (!st) {
		refused_forget(task);
	} else if (st->flags & TASK_WATCHED) {
		ran_unseen(task, st, now, true);
		came_unseen(task, st, now);
		mark_end(task, st, now);
		st->flags &= ~TASK_WATCHED;
	}
	if (signal->live.counter > 0)
		return 0;
	if (!is_tracked(st)) {
		if (seeding && descends_from_root(task) && leaves_unmarked(task))
			__sync_fetch_and_add(&lost.seeds, 1);
		return 0;
	}
	if (about->flags & PF_KTHREAD)
		return 0;
	if (st)
		ran_unseen(task, st, now, true);
	ev = ring_reserve(sizeof(*ev));
	if (!ev)
		return 0;
	head_fill(&ev->head, EVENT_EXIT, sizeof(*ev), task, now);
	ev->facts = session_facts(signal) | group_facts(signal, &ev->group);
	/* What wait(2) will say: the group's code, or the leader's if its threads ended one by one. */
	if (signal->flags & SIGNAL_GROUP_EXIT)
		ev->exit_code = signal->group_exit_code;
	else
		ev->exit_code = about->group_leader->exit_code;
	/* After an exec the descriptors were told then. */
	fds_unknown(ev->fds, 3);
	ev->written = 0;
	if (st && !(st->flags & TASK_EXECED)) {
		ev->facts |= fds_read(task, ev->fds, 3) | null_on_pipe(task, st->first_pipe_fd);
		if (bpf_core_field_exists(struct task_io_accounting, wchar)) {
			ev->written = signal->ioac.wchar + about->ioac.wchar;
			ev->facts |= FACT_WRITTEN_KNOWN;
		}
	}
	ev->sig_ignored = signals_of(about->sighand);
	ev->uid = about->cred->euid.val;
	ev->gid = about->cred->egid.val;
	__builtin_memcpy(ev->comm, about->comm, COMM_LEN);
	bpf_ringbuf_submit(ev, wake_flags());
	return 0;
}
