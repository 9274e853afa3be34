/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who is followed: the state of a task, where it has one.
 */
#ifndef STARTRACE_FOLLOW_H
#define STARTRACE_FOLLOW_H

/*
 * A task without any storage is told by one load: what a stranger's switch and wake-up cost is mostly
 * this look-up.
 */
static __always_inline struct task_state *state_of(struct task_struct *task)
{
	if (bpf_core_field_exists(task->bpf_storage) && !plain(task)->bpf_storage)
		return NULL;
	return bpf_task_storage_get(&tasks, task, NULL, 0);
}

static __always_inline struct task_state *state_make(struct task_struct *task)
{
	if (refuse_every && __sync_fetch_and_add(&refusals, 1) % refuse_every == refuse_every - 1)
		return NULL;
	return bpf_task_storage_get(&tasks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/* A task for as long as it lives, but for the odds of one in four seconds of the same id's reuse. */
static __always_inline __u64 refused_key(struct task_struct *task)
{
	task = plain(task);
	return (__u64)task->pid << 32 | (__u32)task->start_boottime;
}

/* Keeps for later what a state that was refused would have held. */
static __always_inline void refuse(struct task_struct *task, struct refused_state *what)
{
	__u64 key = refused_key(task);

	if (bpf_map_update_elem(&refused, &key, what, BPF_NOEXIST))
		__sync_fetch_and_add(&lost.storage, 1);
	else
		__sync_fetch_and_add(&refused_live, 1);
}

/* What was kept of a task that has no state; for another task than the current one. */
static __always_inline struct refused_state *refused_of(struct task_struct *task)
{
	__u64 key;

	if (!refused_live)
		return NULL;
	key = refused_key(task);
	return bpf_map_lookup_elem(&refused, &key);
}

/* The current task takes over what was kept of it, if there is something. */
__noinline int refused_restore(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct refused_state *kept = refused_of(task);
	__u64 key = refused_key(task);
	struct task_state *st;

	if (!kept)
		return 0;
	st = bpf_task_storage_get(&tasks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!st)
		return 0;
	st->flags = kept->flags;
	st->wakeup_ns = kept->wakeup_ns;
	st->first_pipe_fd = kept->first_pipe_fd;
	bpf_map_delete_elem(&refused, &key);
	__sync_fetch_and_sub(&refused_live, 1);
	return 0;
}

/* Refused to the last: its end is not told. */
static __always_inline void refused_forget(struct task_struct *task)
{
	__u64 key;

	if (!refused_live)
		return;
	key = refused_key(task);
	if (bpf_map_delete_elem(&refused, &key))
		return;
	__sync_fetch_and_sub(&refused_live, 1);
	__sync_fetch_and_add(&lost.storage, 1);
}

/* State of the current task. */
static __always_inline struct task_state *state_of_current(struct task_struct *task)
{
	if (refused_live)
		refused_restore();
	return state_of(task);
}

/* The state that stands for the process of the current task, whose own this is (or NULL). */
static __always_inline struct task_state *leader_of(struct task_struct *task, struct task_state *own)
{
	if (plain(task)->pid == plain(task)->tgid)
		return own;
	return bpf_task_storage_get(&tasks, task->group_leader, NULL, 0);
}

/* The process whose children are the roots of the recording: the tracer that starts the command. */
static __always_inline bool is_spawner(struct task_struct *task)
{
	return spawner_tgid && (__u32)plain(task)->tgid == spawner_tgid;
}

/* State of the current task, which may fork or exec: made on demand where everything is followed. */
static __always_inline struct task_state *state_of_caller(struct task_struct *task)
{
	struct task_state *st = state_of_current(task);

	if (!st && (trace_all || is_spawner(task)))
		st = state_make(task);
	return st;
}

static __always_inline bool is_tracked(struct task_state *st)
{
	return trace_all || (st && (st->flags & TASK_TRACKED));
}

struct ancestors_walk {
	struct task_struct *at;
	__u32 found;
};

static long look_at_ancestor(__u32 i, void *ctx)
{
	struct ancestors_walk *w = ctx;
	__u32 tgid = READ(struct task_struct, w->at, tgid);

	if (bpf_map_lookup_elem(&seed_roots, &tgid)) {
		w->found = 1;
		return 1;
	}
	if (tgid <= 1)
		return 1;
	w->at = READ(struct task_struct, w->at, real_parent);
	return 0;
}

#define ANCESTORS_STEPS 64

/* Is the task, or one of its ancestors, one of the processes to seed? */
static __always_inline bool descends_from_root(struct task_struct *task)
{
	struct ancestors_walk w = { .at = plain(task)->group_leader };

	bpf_loop(ANCESTORS_STEPS, look_at_ancestor, &w, 0);
	return w.found;
}

#endif
