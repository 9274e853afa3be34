/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Buffers for records of variable length.
 */
#ifndef STARTRACE_SCRATCH_H
#define STARTRACE_SCRATCH_H

/*
 * Where a record of variable length is put together. Not one per CPU: a program that is preempted
 * would find its buffer overwritten. A buffer is taken by compare-and-swap instead.
 */
#define SCRATCH_CAP (1 << 16)
#define SCRATCH_LAST (SCRATCH_CAP - ARGV_CAP - PATH_CAP)   /* nothing begins behind it */
#define SCRATCH_TRIES 16

struct scratch {
	__u32 busy;
	/*
	 * Bytes filled. It lies here and not on the stack, so that the verifier takes it for unknown
	 * at every use, checks it there, and does not follow each possible length on its own.
	 */
	__u32 at;
	__u8 data[SCRATCH_CAP];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);            /* set to the number of CPUs and some before loading */
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

const volatile __u32 scratch_count = 64;

#define NO_SCRATCH (~0U)

struct scratch_search {
	__u32 at;
	__u32 found;
};

static long try_scratch(__u32 i, void *ctx)
{
	struct scratch_search *w = ctx;
	__u32 at = (w->at + i) % scratch_count;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &at);

	if (!s || __sync_val_compare_and_swap(&s->busy, 0, 1) != 0)
		return 0;
	w->found = at;
	return 1;
}

/*
 * Takes a free buffer and returns its number. A function of its own, which returns a number: else the
 * verifier follows the rest of each program once for every try.
 */
__noinline __u32 scratch_find(void)
{
	struct scratch_search w = { .at = bpf_get_smp_processor_id(), .found = NO_SCRATCH };
	__u32 own = w.at;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &own);

	/* Nearly always free. */
	if (s && __sync_val_compare_and_swap(&s->busy, 0, 1) == 0)
		return own;
	bpf_loop(SCRATCH_TRIES, try_scratch, &w, 0);
	if (w.found == NO_SCRATCH)
		__sync_fetch_and_add(&lost.scratch, 1);
	return w.found;
}

/* A free buffer, filled with `size` bytes that the caller will write. */
static __always_inline struct scratch *scratch_take(__u32 size)
{
	__u32 at = scratch_find();
	struct scratch *s = bpf_map_lookup_elem(&scratches, &at);

	if (s)
		s->at = size;
	return s;
}

static __always_inline void scratch_give(struct scratch *s)
{
	/* An exchange, not a store: nothing that was read from the buffer may move behind it. */
	__sync_lock_test_and_set(&s->busy, 0);
}

/* Appends a string of at most PATH_CAP bytes, NUL included; `read` is the helper for where it lies. Returns the bytes. */
static __always_inline __u32 fill_str(struct scratch *s, const void *str,
				      long (*read)(void *to, __u32 size, const void *from))
{
	__u32 at = s->at;
	long n;

	if (at > SCRATCH_LAST)
		return 0;
	n = read(s->data + at, PATH_CAP, str);
	if (n <= 0 || n > PATH_CAP)
		return 0;
	s->at = at + n;
	return n;
}

#endif
