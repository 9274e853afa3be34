/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What happens between an image and its main(): uprobes on ld.so's _dl_debug_state, which it calls
 * before it maps the libraries and when all are relocated (musl: then only), and on libc's
 * __libc_start_main. Everyone who maps the library hits them; a stranger pays one look-up.
 */

/*
 * The cookie of a probe: in the low half the signed distance from the probed instruction to r_state in
 * memory (0: not known), then the file's number and these bits.
 */
#define COOKIE_FILE_SHIFT 32
#define COOKIE_FILE_MASK 0xffff
#define COOKIE_ONCE (1ULL << 48)            /* called once, when all is relocated */
#define COOKIE_LIBC_FOLLOWS (1ULL << 49)
#define COOKIE_LEARN (1ULL << 50)           /* who calls the function is asked for: see ld_callers */

/*
 * The function is a lone `ret` on x86-64, which the kernel steps over in a page that it maps into each process for that:
 * 20 us a hit. A call it emulates. So the first start tells where the two calls are that every start makes, and user
 * space probes those instead. By the loader's number; of further loaders nothing is asked.
 */
#define LD_FILES 64

struct ld_callers {
	__s32 adding;                 /* from the function to where these calls return to; 0: not known yet */
	__s32 relocated;
	__u32 probed;                 /* the calls are, and tell the same: written by user space */
	__u32 reserved;
};

struct ld_callers ld_callers[LD_FILES] = {};

/* task_state.link */
#define LINK_EXPECTED (1 << 0)              /* an image is new: what it tells is wanted */
#define LINK_TOLD_SHIFT 1                   /* calls of _dl_debug_state told */
#define LINK_TOLD_MASK (7 << LINK_TOLD_SHIFT)
#define LINK_ADDING (1 << 4)
#define LINK_RELOCATED (1 << 5)
#define LINK_FILE_SHIFT 16                  /* the loader's number */

/* A program needs two of these; more come where the state cannot be read. */
#define LINK_TOLD_MAX 4

/* A new image is in place. */
static __always_inline void link_expect(struct task_state *st)
{
	st->link = link_probes ? LINK_EXPECTED : 0;
}

/*
 * Writes a mark of the current task, which is watched, as write_mark() does. A uprobe may be preempted on any
 * kernel, and the switch would count into the same sums.
 */
static __always_inline void link_mark(struct task_struct *task, struct task_state *st, __u32 mark,
				      __u64 value)
{
	struct event_mark *ev;
	__u64 now;

	if (!is_watched(st) || is_settled(task, st))
		return;
	ev = ring_reserve(sizeof(*ev));
	if (!ev)
		return;
	fill_usage(&ev->usage, task);
	__builtin_memset(&ev->sock, 0, sizeof(ev->sock));
	ev->mark = mark;
	ev->value = value;
	ev->facts = 0;
	ev->text_len = 0;
	ev->fd = -1;
	cpu_keep();
	now = bpf_ktime_get_boot_ns();
	if (!st->since_ns)
		st->since_ns = now;
	if (st->on_ns && now > st->on_ns)
		st->running_ns += now - st->on_ns;
	take_spent(st, &ev->spent, now);
	st->since_ns = now;
	if (st->on_ns)
		st->on_ns = now;
	cpu_give();
	head_fill(&ev->head, EVENT_MARK, sizeof(*ev), task, now);
	bpf_ringbuf_submit(ev, wake_flags());
}

/* r_state of the program's own list of libraries, as ld.so has just set it. */
static __always_inline __u32 ld_state(struct pt_regs *ctx, __u64 cookie)
{
	__s32 distance = (__s32)cookie;
	__s32 state;

	if (cookie & COOKIE_ONCE)
		return LD_CONSISTENT;
	if (!distance)
		return LD_UNKNOWN;
	if (bpf_probe_read_user(&state, sizeof(state), (void *)(PT_REGS_IP(ctx) + (__s64)distance)))
		return LD_UNKNOWN;
	return state >= 0 && state <= 2 ? LD_CONSISTENT + state : LD_UNKNOWN;
}

static __always_inline void ld_learn(struct pt_regs *ctx, __s32 *place)
{
	__u64 to;
	__s64 distance;

	if (*place || bpf_probe_read_user(&to, sizeof(to), (void *)PT_REGS_SP(ctx)))
		return;
	distance = to - PT_REGS_IP(ctx);
	if (distance == (__s32)distance)
		*place = distance;
}

SEC("?uprobe")
int on_ld_state(struct pt_regs *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *st = state_of_current(task);
	__u64 cookie;
	__u32 link, told, file, state;

	if (!st || !(st->link & LINK_EXPECTED))
		return 0;
	link = st->link;
	told = (link & LINK_TOLD_MASK) >> LINK_TOLD_SHIFT;
	/* An image has one loader. Two probes in one file, which overlayfs shows as two, are told once. */
	cookie = bpf_get_attach_cookie(ctx);
	file = (cookie >> COOKIE_FILE_SHIFT) & COOKIE_FILE_MASK;
	/* Otherwise clang 22 takes the index out of the cookie once more, whose bounds nobody has looked at. */
	barrier_var(file);
	if (told && link >> LINK_FILE_SHIFT != file)
		return 0;
	if (cookie & COOKIE_LEARN && file < LD_FILES && ld_callers[file].probed)
		return 0;
	if (told >= LINK_TOLD_MAX || link & LINK_RELOCATED)
		return 0;
	state = ld_state(ctx, cookie);
	if (state == LD_ADDING || state == LD_UNKNOWN)
		link |= LINK_ADDING;
	else if (state == LD_CONSISTENT && (link & LINK_ADDING || cookie & COOKIE_ONCE))
		link |= LINK_RELOCATED;
	else
		return 0;                   /* LD_AUDIT: an auditor's own libraries, before the program's */
	st->link = (link & ~LINK_TOLD_MASK & 0xffff) | (told + 1) << LINK_TOLD_SHIFT |
		   file << LINK_FILE_SHIFT;
	if (cookie & COOKIE_LEARN && file < LD_FILES) {
		if (state == LD_ADDING)
			ld_learn(ctx, &ld_callers[file].adding);
		else if (state == LD_CONSISTENT)
			ld_learn(ctx, &ld_callers[file].relocated);
	}
	if (cookie & COOKIE_LIBC_FOLLOWS)
		state |= LD_LIBC_FOLLOWS;
	link_mark(task, st, MARK_LD_STATE, state);
	return 0;
}

SEC("?uprobe")
int on_libc_start(struct pt_regs *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *st = state_of_current(task);

	if (!st || !(st->link & LINK_EXPECTED))
		return 0;
	/* Nothing more: what dlopen does later is the program's own time. */
	st->link = 0;
	link_mark(task, st, MARK_LIBC_START, 0);
	return 0;
}
