/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Marks the processes that run already: those asked for and their descendants. Run over and over
 * until a pass marks nothing new. Meanwhile task_newtask and sched_process_exit look after tasks that
 * come and go (see `seeding`).
 */

SEC("?iter/task")
int seed_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_struct *about;
	struct task_state *st;
	struct seed out = {};

	if (!task)
		return 0;
	about = plain(task);
	if (about->flags & PF_KTHREAD)
		return 0;
	/* No thread of it is left to end: a zombie, which would be taken for one that runs for ever. */
	if (about->signal->live.counter <= 0)
		return 0;
	st = state_of(task);
	/* Where all are followed, this only lists them. */
	if (!trace_all && !(st && (st->flags & TASK_TRACKED))) {
		if (!descends_from_root(task))
			return 0;
		st = bpf_task_storage_get(&tasks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
		/* Refused while a preempted program is at it on this CPU: the next pass tries again. */
		if (st)
			st->flags |= TASK_TRACKED;
		out.fresh = 1;
	}
	out.birth_ns = about->group_leader->start_boottime;
	out.pid = about->tgid;
	if (about->pid == about->tgid || out.fresh)
		bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	return 0;
}
