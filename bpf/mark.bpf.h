/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Marks: what a start reached, what it used until then and how it spent the time.
 */
#ifndef STARTRACE_MARK_H
#define STARTRACE_MARK_H

/* The sums so far, and from zero again. */
static __always_inline void take_spent(struct task_state *st, struct event_spent *out, __u64 until)
{
	out->since_ns = st->since_ns;
	out->until_ns = until;
	out->running_ns = st->running_ns;
	out->runnable_ns = st->runnable_ns;
	__builtin_memcpy(out->blocked_ns, st->blocked_ns, sizeof(out->blocked_ns));
	st->running_ns = 0;
	st->runnable_ns = 0;
	__builtin_memset(st->blocked_ns, 0, sizeof(st->blocked_ns));
}

/* Where the kernel does not account for it. */
#define READ_BYTES_UNKNOWN (~0ULL)

static __always_inline void fill_usage(struct event_usage *out, struct task_struct *task)
{
	task = plain(task);
	out->user_ns = task->utime;
	out->system_ns = task->stime;
	out->minor_faults = task->min_flt;
	out->major_faults = task->maj_flt;
	out->voluntary = task->nvcsw;
	out->involuntary = task->nivcsw;
	out->read_bytes = READ_BYTES_UNKNOWN;
	if (bpf_core_field_exists(struct task_io_accounting, read_bytes))
		out->read_bytes = task->ioac.read_bytes;
	out->rss_bytes = rss_of(task->mm);
	out->threads = task->signal->nr_threads;
	out->reserved = 0;
}

#define TEXT_CAP 256

/* What a mark says besides its time. */
struct mark_what {
	__u64 now;
	__u64 value;
	__u64 sock;                   /* struct sock *, or 0 */
	__u64 text;                   /* address of bytes, or 0 */
	__u32 text_len;
	__u32 text_is_kernel;
	__u32 mark;
	__u32 facts;
	__u32 fd;
	__u32 reserved;
};

/* Appends at most TEXT_CAP bytes. */
static __always_inline __u32 fill_text(struct scratch *s, struct mark_what *what)
{
	__u32 at = s->at, len = what->text_len;

	if (!what->text)
		return 0;
	if (len > TEXT_CAP)
		len = TEXT_CAP;
	barrier_var(len);
	if (len > TEXT_CAP || at > SCRATCH_LAST)
		return 0;
	if (what->text_is_kernel ? bpf_probe_read_kernel(s->data + at, len, (void *)what->text)
				 : bpf_probe_read_user(s->data + at, len, (void *)what->text))
		return 0;
	s->at = at + len;
	return len;
}

/* All of a mark but its text. */
static __always_inline void fill_mark(struct event_mark *ev, struct task_state *st, struct mark_what *what,
				      struct task_struct *task, __u64 until)
{
	take_spent(st, &ev->spent, until);
	fill_usage(&ev->usage, task);
	ev->value = what->value;
	ev->mark = what->mark;
	ev->facts = what->facts;
	ev->fd = what->fd;
	ev->text_len = 0;
	if (what->sock) {
		ev->facts |= FACT_SOCK;
		describe_sock(what->sock, &ev->sock);
	} else {
		__builtin_memset(&ev->sock, 0, sizeof(ev->sock));
	}
	st->since_ns = until;
}

/*
 * Writes a mark of the current task, which is watched. It ends the time since the task's last record. Most have no text
 * and are written where they belong, in the ring: a buffer costs more than what the record says.
 */
__noinline int write_mark(struct task_state *st, struct mark_what *what)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct event_mark *ev;
	__u64 now, until;
	struct scratch *s;

	if (!st || !what)
		return 0;
	now = what->now;
	if (is_settled(task, st))
		return 0;
	if (!st->since_ns)
		st->since_ns = now;
	until = !st->on_ns && st->off_ns ? st->off_ns : now;
	if (st->on_ns && now > st->on_ns)
		st->running_ns += now - st->on_ns;
	if (st->on_ns)
		st->on_ns = now;
	if (!what->text) {
		ev = ring_reserve(sizeof(*ev));
		if (!ev)
			return 0;
		fill_mark(ev, st, what, task, until);
		head_fill(&ev->head, EVENT_MARK, sizeof(*ev), task, now);
		bpf_ringbuf_submit(ev, wake_flags());
		return 0;
	}
	s = scratch_take(sizeof(*ev));
	if (!s)
		return 0;
	ev = (void *)s->data;
	fill_mark(ev, st, what, task, until);
	ev->text_len = fill_text(s, what);
	head_fill(&ev->head, EVENT_MARK, s->at, task, now);
	scratch_send(s);
	scratch_give(s);
	return 0;
}

/* A unix socket is known by its path. */
static __always_inline void tell_name_of_unix(struct mark_what *what)
{
	struct unix_sock *sk = (void *)what->sock;
	struct name_at name;

	if (!what->sock || BPF_CORE_READ(&sk->sk, __sk_common.skc_family) != AF_UNIX)
		return;
	name = name_of_unix(sk);
	if (!name.len)
		return;
	what->text = name.at;
	what->text_len = name.len;
	what->text_is_kernel = 1;
}

/* The same, of this moment. */
static __always_inline void mark_as_of_now(struct task_state *st, struct mark_what *what)
{
	stay();
	what->now = bpf_ktime_get_boot_ns();
	write_mark(st, what);
	stay_no_more();
}

/* A mark of the current task without anything to it. */
static __always_inline void mark_now(struct task_state *st, __u32 mark, __u64 now)
{
	struct mark_what what = { .now = now, .mark = mark, .fd = -1 };

	write_mark(st, &what);
}

/* The current task is watched from here on; its time begins now. */
static __always_inline void watch_begin(struct task_struct *task, struct task_state *st, __u64 now)
{
	bool goes_on;

	if (!watching)
		return;
	/* Also where it is marked: it may have slept since that start was over. */
	want_waking();
	goes_on = (st->flags & TASK_WATCHED) && !is_settled(task, st);
	st->watched_ns = now;
	if (goes_on)
		return;
	st->flags |= TASK_WATCHED;
	st->since_ns = now;
	st->on_ns = now;
	st->off_ns = 0;
	st->wake_ns = 0;
	st->running_ns = 0;
	st->runnable_ns = 0;
	__builtin_memset(st->blocked_ns, 0, sizeof(st->blocked_ns));
	/* What it used before is not the start's. */
	mark_now(st, MARK_SUMS, now);
}

#endif
