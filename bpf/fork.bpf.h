/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The creation of processes: task_newtask (in the creator's context, before the child can run, with
 * the child's registers and signal state already copied), sched_wakeup_new, and the first switch.
 */

/* What the creator was like; adds to the facts. */
__noinline int describe_creator(struct event_fork *ev, __u64 clone_flags, __u64 child_sp)
{
	struct task_struct *parent = bpf_get_current_task_btf();
	struct pt_regs *regs = (void *)bpf_task_pt_regs(parent);
	struct signal_struct *signal;
	__u64 disposed, pipes;
	__u32 facts;

	if (!ev)
		return 0;
	/* The registers were got from the task proper; all else is only read. */
	parent = plain(parent);
	signal = parent->signal;
	/* Of the terminal only the child's own view, later, tells anything. */
	facts = ev->facts | session_facts(signal);
	group_facts(signal, &ev->group);
	ev->parent_birth_ns = parent->group_leader->start_boottime;
	ev->parent_pid = parent->tgid;
	ev->parent_tid = parent->pid;
	ev->parent_threads = signal->nr_threads;
	ev->blocked = parent->blocked.sig[0];
	disposed = signals_of(parent->sighand);
	ev->sig_ignored = disposed;
	ev->sig_handled = disposed >> 32;

	ev->nr = -1;
	ev->stack_delta = 0;
	if (parent->flags & PF_KTHREAD) {
		facts |= FACT_KERNEL_PARENT;
	} else {
		ev->nr = syscall_nr(regs);
		ev->stack_delta = child_sp - regs->sp;
		facts |= FACT_STACK_KNOWN;
#if defined(__TARGET_ARCH_x86)
		if (parent->thread_info.status & TS_COMPAT)
			facts |= FACT_COMPAT_CALL;
#endif
	}

	ev->fresh_pipes = 0;
	ev->first_pipe_fd = 0;
	ev->rss_bytes = 0;
	if (!(clone_flags & CLONE_VM)) {
		ev->rss_bytes = rss_of(parent->mm);
		pipes = fresh_pipes(NUMBER(parent->files));
		ev->fresh_pipes = pipes & 0xff;
		ev->first_pipe_fd = pipes >> 32;
		if (pipes & PIPES_KNOWN)
			facts |= FACT_PIPES_KNOWN;
		if (pipes & PIPES_CLOEXEC)
			facts |= FACT_PIPES_CLOEXEC;
	}
	/* popen and system differ in them alone where the caller ignores INT and QUIT anyway. */
	facts |= fds_read(parent, ev->fds, 3);
	ev->facts = facts;
	return 0;
}

/* What the child is like. */
static __always_inline void describe_child(struct event_fork *ev, struct task_struct *child, __u32 parent_level)
{
	child = plain(child);
	ev->exit_signal = child->exit_signal;
	ev->real_parent_birth_ns = child->real_parent->group_leader->start_boottime;
	ev->real_parent_pid = child->real_parent->tgid;
	ev->uid = child->cred->euid.val;
	ev->gid = child->cred->egid.val;
	ev->ns_pid = own_ns_pid(child);
	ev->facts = pid_level(child) > parent_level ? FACT_NEW_PID_NS : 0;
	__builtin_memcpy(ev->comm, child->comm, COMM_LEN);
}

static __always_inline void forget_fork_entry(struct task_state *st)
{
	st->fork_entry_ns = 0;
	st->flags &= ~TASK_FORK_MM;
}

/*
 * What the creator's process knows, which may be another task's: a copy of a server has its descriptors, and a thread of
 * a pool does what another has read.
 */
__noinline int inherit_from_process(struct task_state *pst, struct task_state *st, struct event_fork *ev)
{
	struct task_struct *parent = bpf_get_current_task_btf();
	struct task_state *leader = leader_of(parent, pst);

	if (!leader)
		return 0;
	if (st && watching) {
		st->listener = leader->listener;
		st->listen_port = leader->listen_port;
	}
	if (ev && leader->peer_ns > ev->peer_ns) {
		ev->peer_ns = leader->peer_ns;
		ev->peer_pid = leader->peer_pid;
	}
	return 0;
}

/* Is what the current task creates followed? */
__noinline int forks_are_followed(struct task_state *st)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct refused_state *kept = st ? NULL : refused_of(task);

	/* Its state is refused still. */
	if (kept && (kept->flags & TASK_TRACKED))
		return 1;
	return is_tracked(st) || is_spawner(task) || (seeding && descends_from_root(task));
}

SEC("tp_btf/task_newtask")
int BPF_PROG_THAT_STAYS(on_newtask, struct task_struct *child, __u64 clone_flags)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct task_struct *parent = bpf_get_current_task_btf();
	struct task_state *pst = state_of_current(parent);
	struct refused_state kept = {};
	bool root = is_spawner(parent);
	struct task_state *st;
	struct event_fork *ev;
	__u64 cgroup_id;
	__u32 cgroup_facts = 0;

	if (clone_flags & CLONE_THREAD) {
		if (pst)
			forget_fork_entry(pst);
		/* A thread may fork or exec in its turn, and its time is part of the start's. */
		if (pst && (pst->flags & (trace_all ? TASK_WATCHED : TASK_TRACKED))) {
			st = state_make(child);
			kept.flags = pst->flags & (TASK_TRACKED | TASK_WATCHED);
			if (st) {
				st->flags = kept.flags;
				st->watched_ns = pst->watched_ns;
			} else {
				refuse(child, &kept);
			}
		}
		return 0;
	}
	if (!forks_are_followed(pst))
		return 0;
	/* Threads of the kernel are no processes. */
	if (plain(child)->flags & PF_KTHREAD)
		return 0;

	want_waking();
	st = state_make(child);
	kept.flags = TASK_TRACKED | TASK_FRESH | (watching ? TASK_WATCHED : 0);
	if (st)
		st->flags = kept.flags;
	if (pst) {
		if (clone_flags & CLONE_VFORK)
			pst->flags |= TASK_VFORKING;
		else
			pst->flags &= ~TASK_VFORKING;
	}

	cgroup_id = cgroup_of(child, &cgroup_facts);
	ev = ring_reserve(sizeof(*ev));
	if (!ev) {
		inherit_from_process(pst, st, NULL);
		if (pst)
			forget_fork_entry(pst);
		return 0;
	}
	head_fill(&ev->head, EVENT_FORK, sizeof(*ev), child, now);
	describe_child(ev, child, pid_level(parent));
	ev->clone_flags = clone_flags;
	ev->cgroup_id = cgroup_id;
	ev->facts |= cgroup_facts | (root ? FACT_ROOT : 0);
	ev->entry_ns = 0;
	ev->peer_ns = 0;
	ev->waited_ns = 0;
	ev->peer_pid = 0;
	if (pst) {
		ev->entry_ns = pst->fork_entry_ns;
		if (ev->entry_ns)
			ev->waited_ns = waited_ever(parent) - pst->fork_waited_ns;
		if (pst->flags & TASK_FORK_MM)
			ev->facts |= FACT_ENTRY_IS_MM_ALLOC;
		ev->peer_ns = pst->peer_ns;
		ev->peer_pid = pst->peer_pid;
		forget_fork_entry(pst);
	}
	describe_creator(ev, clone_flags, ((struct pt_regs *)bpf_task_pt_regs(child))->sp);
	inherit_from_process(pst, st, ev);
	kept.first_pipe_fd = ev->first_pipe_fd;
	if (st)
		st->first_pipe_fd = kept.first_pipe_fd;
	else
		refuse(child, &kept);
	bpf_ringbuf_submit(ev, wake_flags());
	return 0;
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(on_wakeup_new, struct task_struct *task)
{
	struct task_state *st = state_of(task);
	struct refused_state *kept;

	if (st) {
		if (st->flags & TASK_FRESH) {
			st->wakeup_ns = bpf_ktime_get_boot_ns();
		} else if (st->flags & TASK_WATCHED) {
			/* A thread: its time begins with a wait for a CPU. */
			st->off_ns = bpf_ktime_get_boot_ns();
			st->since_ns = st->off_ns;
			st->kind = WAIT_CPU;
			st->nr = -1;
			st->fd = -1;
		}
	} else {
		kept = refused_of(task);
		if (kept && (kept->flags & TASK_FRESH))
			kept->wakeup_ns = bpf_ktime_get_boot_ns();
	}
	return 0;
}

/*
 * A task that is on a CPU and was not seen to get there: there are kernels that trace no switch away
 * from some tasks (a hosted machine's own services). The scheduler's accounting tells how long it
 * waited, as long as it has waited once only.
 */
static __always_inline void ran_unseen(struct task_struct *task, struct task_state *st, __u64 now,
					bool may_wake)
{
	struct event_run *ev;

	if (!(st->flags & TASK_FRESH))
		return;
	st->flags &= ~TASK_FRESH;
	ev = ring_reserve(sizeof(*ev));
	if (!ev)
		return;
	head_fill(&ev->head, EVENT_RUN, sizeof(*ev), task, now);
	ev->wakeup_ns = st->wakeup_ns;
	ev->run_ns = 0;
	if (bpf_core_field_exists(struct sched_info, pcount) && st->wakeup_ns &&
	    BPF_CORE_READ(task, sched_info.pcount) == 1)
		ev->run_ns = st->wakeup_ns + BPF_CORE_READ(task, sched_info.run_delay);
	if (watching && !st->since_ns) {
		st->since_ns = ev->run_ns ? ev->run_ns : now;
		st->on_ns = st->since_ns;
	}
	/* Not by the caller: a wake-up that is asked for and not sent keeps all later ones from being sent. */
	bpf_ringbuf_submit(ev, may_wake ? wake_flags() : BPF_RB_NO_WAKEUP);
}

static __always_inline void tell_run(struct task_struct *task, __u64 wakeup_ns, __u64 now)
{
	struct event_run *ev = ring_reserve(sizeof(*ev));

	if (!ev)
		return;
	head_fill(&ev->head, EVENT_RUN, sizeof(*ev), task, now);
	ev->wakeup_ns = wakeup_ns;
	ev->run_ns = now;
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
}

static __always_inline void first_run(struct task_struct *task, struct task_state *st, __u64 now)
{
	if (!(st->flags & TASK_FRESH))
		return;
	st->flags &= ~TASK_FRESH;
	tell_run(task, st->wakeup_ns, now);
}

/* The same for a task whose state was refused. */
static __always_inline void first_run_refused(struct task_struct *task)
{
	struct refused_state *kept = refused_of(task);

	if (!kept || !(kept->flags & TASK_FRESH))
		return;
	kept->flags &= ~TASK_FRESH;
	tell_run(task, kept->wakeup_ns, bpf_ktime_get_boot_ns());
}

/*
 * The first time on a CPU. A switch between tasks that have run before costs two loads: the execution
 * time of the one is not 0, and the other has been on a CPU more than once.
 */
SEC("?tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct task_state *st;

	if (bpf_core_field_exists(struct sched_info, pcount) && plain(prev)->sched_info.pcount == 1) {
		st = state_of(prev);
		/* No wake-up here: the run queue's lock is held. */
		if (st)
			ran_unseen(prev, st, bpf_ktime_get_boot_ns(), false);
	}
	if (plain(next)->se.sum_exec_runtime || !plain(next)->pid)
		return 0;
	st = state_of(next);
	if (st)
		first_run(next, st, bpf_ktime_get_boot_ns());
	else
		first_run_refused(next);
	return 0;
}
