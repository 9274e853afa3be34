/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How records leave.
 */
#ifndef STARTRACE_RECORD_H
#define STARTRACE_RECORD_H

/*
 * Records do not wake the consumer, who comes by every 20 ms: a wake-up costs more than the event.
 * One wake-up is forced when the ring is a quarter full. Whoever calls this has to send a record with the answer:
 * until the consumer has emptied the ring, nobody else forces another.
 */
static __always_inline __u64 wake_flags(void)
{
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) < ring_bytes / 4 || wake_sent)
		return BPF_RB_NO_WAKEUP;
	wake_sent = true;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline void count_lost_event(__u64 bytes)
{
	__sync_fetch_and_add(&lost.events, 1);
	__sync_fetch_and_add(&lost.bytes, bytes);
}

/* Room for a record of a fixed size; where the ring has none, NULL, and the record is counted as lost. */
static __always_inline void *ring_reserve(__u64 size)
{
	void *record = bpf_ringbuf_reserve(&ring, size, 0);

	if (!record)
		count_lost_event(size);
	return record;
}

static __always_inline void head_fill(struct event_head *head, __u32 kind, __u32 size,
				      struct task_struct *task, __u64 now)
{
	task = plain(task);
	head->time_ns = now;
	head->birth_ns = task->group_leader->start_boottime;
	head->size = size;
	head->kind = kind;
	head->pid = task->tgid;
	head->tid = task->pid;
}

/* Hands the record in the buffer over to the ring. */
static __always_inline bool scratch_send(struct scratch *s)
{
	__u32 len = s->at;
	__u64 flags;

	if (len < sizeof(struct event_head))
		return false;
	barrier_var(len);
	if (len > SCRATCH_CAP)
		return false;
	flags = wake_flags();
	if (bpf_ringbuf_output(&ring, s->data, len, flags)) {
		/* The wake-up was lost with it. */
		if (flags == BPF_RB_FORCE_WAKEUP)
			wake_sent = false;
		count_lost_event(len);
		return false;
	}
	return true;
}

/*
 * A start begins. While none is under way there is no program on wake-ups, which all tasks of the machine pay for: user
 * space has to attach it, and at once, for until then nobody knows who wakes whom. It is woken by a record that it never
 * sees. (When a task could run again the scheduler knows as well: runnable_since().)
 */
static __always_inline void want_waking(void)
{
	void *nothing;

	/* Before looking, for all CPUs: whoever has it off and then finds this as it was has missed none. */
	__sync_fetch_and_add(&starts_begun, 1);
	if (waking_hook != WAKING_OFF)
		return;
	waking_wanted_ns = bpf_ktime_get_boot_ns();
	/* Whoever reads this one has to find the other. */
	barrier();
	waking_hook = WAKING_WANTED;
	nothing = bpf_ringbuf_reserve(&ring, sizeof(__u64), 0);
	if (nothing)
		bpf_ringbuf_discard(nothing, BPF_RB_FORCE_WAKEUP);
}

#endif
