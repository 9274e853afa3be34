/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the tasks of a start are on their CPUs, so many times a second: stacks as frame pointers lead. A
 * stranger who is sampled costs one look-up.
 */

#define SAMPLE_FRAMES 64

static __always_inline __u32 fill_stack(void *ctx, struct scratch *s, __u64 flags)
{
	__u32 at = s->at;
	long n;

	if (at > SCRATCH_LAST)
		return 0;
	n = bpf_get_stack(ctx, s->data + at, SAMPLE_FRAMES * sizeof(__u64), flags);
	if (n <= 0 || n > SAMPLE_FRAMES * (long)sizeof(__u64))
		return 0;
	s->at = at + n;
	return n;
}

SEC("?perf_event")
int on_sample(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct event_sample *ev;
	struct task_state *st;
	struct scratch *s;

	if (!plain(task)->pid)
		return 0;
	st = state_of(task);
	if (!is_watched(st) || is_settled(task, st))
		return 0;
	s = scratch_take(sizeof(*ev));
	if (!s)
		return 0;
	ev = (void *)s->data;
	ev->kernel_len = fill_stack(ctx, s, 0);
	ev->user_len = fill_stack(ctx, s, BPF_F_USER_STACK);
	head_fill(&ev->head, EVENT_SAMPLE, s->at, task, bpf_ktime_get_boot_ns());
	scratch_send(s);
	scratch_give(s);
	return 0;
}
