/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The end of a process: its last thread, whichever that is.
 */

#define SIGNAL_GROUP_EXIT 4

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct signal_struct *signal = task->signal;
	struct task_state *st;
	struct event_exit *ev;

	if (signal->live.counter > 0)
		return 0;
	st = state_of(task);
	if (!is_tracked(st)) {
		/* A descendant that ends before it is marked could leave children behind unseen. */
		if (seeding && descends_from_root(task))
			__sync_fetch_and_add(&lost.seeds, 1);
		return 0;
	}
	if (task->flags & PF_KTHREAD)
		return 0;
	ev = bpf_ringbuf_reserve(&ring, sizeof(*ev), 0);
	if (!ev) {
		count_lost_event(sizeof(*ev));
		return 0;
	}
	head_fill(&ev->head, EVENT_EXIT, sizeof(*ev), task, bpf_ktime_get_boot_ns());
	ev->facts = session_facts(signal);
	/* What wait(2) will say: the group's code, or the leader's if its threads ended one by one. */
	if (signal->flags & SIGNAL_GROUP_EXIT) {
		ev->exit_code = signal->group_exit_code;
		ev->facts |= FACT_GROUP_EXIT;
	} else {
		ev->exit_code = task->group_leader->exit_code;
	}
	/* After an exec the descriptors were told then. */
	if (st && !(st->flags & TASK_EXECED))
		ev->facts |= fds_read(task, ev->fds);
	else
		fds_unknown(ev->fds);
	__builtin_memcpy(ev->comm, task->comm, COMM_LEN);
	bpf_ringbuf_submit(ev, wake_flags());
	return 0;
}
