/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What CPython imports: by the static probes (USDT) of builds that have them, else, at the deepest level, by
 * a probe on the function behind the import statement. Told of watched tasks only; everyone else who
 * imports pays a trap and a look-up.
 */

/* Files with probes, by the number in a probe's cookie: since when all of a file's are in place. */
#define PY_FILES 64
__u64 python_live_ns[PY_FILES] = {};

static __always_inline struct task_state *importer(struct task_struct *task)
{
	struct task_state *st = state_of_current(task);

	if (!is_watched(st) || is_settled(task, st))
		return NULL;
	return st;
}

/*
 * Where a static probe has its arguments, in 26 bits of the cookie each: the index of a register among
 * those of struct pt_regs, whether it points to the argument, and how far from that.
 */
#define ARG_BITS 26
#define ARG_REGISTER 0x1f
#define ARG_DEREF (1 << 5)
#define ARG_DISPLACEMENT_SHIFT 6
#define ARG_FILE_SHIFT (2 * ARG_BITS)

static __always_inline __u64 usdt_arg(struct pt_regs *ctx, __u32 where)
{
	/* 20 bits with their sign. */
	__s32 distance = (__s32)(where << (32 - ARG_BITS)) >> (32 - ARG_BITS + ARG_DISPLACEMENT_SHIFT);
	__u64 value = 0, found = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)ctx + (where & ARG_REGISTER) * 8);
	if (!(where & ARG_DEREF))
		return value;
	bpf_probe_read_user(&found, sizeof(found), (void *)(value + (__s64)distance));
	return found;
}

static __always_inline struct event_import *import_reserve(struct task_struct *task, __u32 step, __u32 file)
{
	struct event_import *ev = ring_reserve(sizeof(*ev));

	if (!ev)
		return NULL;
	__builtin_memset(ev, 0, sizeof(*ev));
	head_fill(&ev->head, EVENT_IMPORT, sizeof(*ev), task, bpf_ktime_get_boot_ns());
	ev->step = step;
	ev->live_ns = python_live_ns[file & (PY_FILES - 1)];
	return ev;
}

static __always_inline int import_step(struct pt_regs *ctx, __u32 step)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct event_import *ev;
	__u64 cookie;
	long n;

	if (!importer(task))
		return 0;
	cookie = bpf_get_attach_cookie(ctx);
	ev = import_reserve(task, step, cookie >> ARG_FILE_SHIFT);
	if (!ev)
		return 0;
	n = bpf_probe_read_user_str(ev->name, sizeof(ev->name), (void *)usdt_arg(ctx, cookie));
	if (n > 0)
		ev->name_len = n - 1;
	if (n == sizeof(ev->name))
		ev->facts |= IMPORT_NAME_CUT;
	if (step == IMPORT_END && (__u32)usdt_arg(ctx, cookie >> ARG_BITS))
		ev->facts |= IMPORT_FOUND;
	bpf_ringbuf_submit(ev, wake_flags());
	return 0;
}

SEC("?uprobe")
int on_import_begin(struct pt_regs *ctx)
{
	return import_step(ctx, IMPORT_BEGIN);
}

SEC("?uprobe")
int on_import_end(struct pt_regs *ctx)
{
	return import_step(ctx, IMPORT_END);
}

/* ---- builds without static probes ---- */

/*
 * PyImport_ImportModuleLevelObject(name, globals, locals, fromlist, level) is what the import statement
 * calls, also for what is imported already, which takes less than a microsecond. Its cookie: where a str
 * keeps its characters (0: the name is a char *, as before Python 3), and the file's number. bash's functions that read
 * a file of commands nest as imports do, and are told with the same programs, both ends by themselves: there are few,
 * and where an exec is in such a file there is no end.
 */
#define IMPORT_MIN_NS 15000
#define IMPORT_FRAMES 64
#define COOKIE_TEXT_MASK 0xff
#define COOKIE_PY_FILE_SHIFT 8
#define COOKIE_SHELL (1 << 16)

struct import_frame {
	__u64 at_ns;
	__u64 sp;
	__u64 name;
	__u64 dots;
};

/* The calls that a task is in. */
struct import_frames {
	__u32 depth;
	__u32 reserved;
	struct import_frame frames[IMPORT_FRAMES];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct import_frames);
} imports SEC(".maps");

/* How many calls there are but for those on top whose stack is gone. */
static __always_inline __u32 frames_above(struct import_frames *calls, __u64 sp)
{
	__u32 depth = calls->depth;

#pragma clang loop unroll(disable)
	for (int i = 0; i < IMPORT_FRAMES; i++) {
		if (!depth || calls->frames[(depth - 1) & (IMPORT_FRAMES - 1)].sp > sp)
			break;
		depth--;
	}
	return depth;
}

/* A shell begins to read a file of commands, or has read it. */
static __always_inline void tell_commands(struct task_struct *task, __u32 step, __u64 cookie)
{
	struct event_import *ev = import_reserve(task, step, cookie >> COOKIE_PY_FILE_SHIFT);

	if (!ev)
		return;
	ev->facts = IMPORT_SHELL;
	bpf_ringbuf_submit(ev, wake_flags());
}

SEC("?uprobe")
int on_import_call(struct pt_regs *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct import_frames *calls;
	struct import_frame *frame;
	__u64 cookie;
	__u32 depth;

	if (!importer(task))
		return 0;
	cookie = bpf_get_attach_cookie(ctx);
	calls = bpf_task_storage_get(&imports, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!calls) {
		__sync_fetch_and_add(&lost.storage, 1);
		return 0;
	}
	depth = calls->depth;
	if (depth >= IMPORT_FRAMES) {
		/* Calls that were left without a return make room; what is deeper than the others is a part of them. */
		depth = frames_above(calls, PT_REGS_SP(ctx));
		if (depth >= IMPORT_FRAMES)
			return 0;
	}
	frame = &calls->frames[depth & (IMPORT_FRAMES - 1)];
	frame->at_ns = bpf_ktime_get_boot_ns();
	frame->sp = PT_REGS_SP(ctx);
	frame->name = PT_REGS_PARM1(ctx);
	frame->dots = (__u32)PT_REGS_PARM5(ctx);
	calls->depth = depth + 1;
	if (!(cookie & COOKIE_SHELL))
		return 0;
	tell_commands(task, IMPORT_BEGIN, cookie);
	return 0;
}

/*
 * The frame of the call that returns, which has its stack as the call found it; those above it were left without a
 * return, or are another greenlet's.
 */
static __always_inline struct import_frame *frame_of(struct import_frames *calls, __u64 sp)
{
	struct import_frame *frame;
	__u32 depth;

#pragma clang loop unroll(disable)
	for (int i = 0; i < IMPORT_FRAMES; i++) {
		depth = calls->depth;
		if (!depth)
			return NULL;
		frame = &calls->frames[(depth - 1) & (IMPORT_FRAMES - 1)];
		if (frame->sp > sp)
			return NULL;
		calls->depth = depth - 1;
		if (frame->sp == sp)
			return frame;
	}
	return NULL;
}

/*
 * At the instructions that return, not by a return probe: for that the kernel puts an address of its own on the stack,
 * and kills a program that has copied a part of its stack away meanwhile and goes on elsewhere, as greenlets do.
 */
SEC("?uprobe")
int on_import_return(struct pt_regs *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct import_frames *calls = bpf_task_storage_get(&imports, task, NULL, 0);
	struct import_frame *frame;
	struct event_import *ev;
	__u64 cookie;
	__u32 text;
	long n;

	if (!calls)
		return 0;
	frame = frame_of(calls, PT_REGS_SP(ctx));
	if (!frame)
		return 0;
	cookie = bpf_get_attach_cookie(ctx);
	if (!(cookie & COOKIE_SHELL) && bpf_ktime_get_boot_ns() - frame->at_ns < IMPORT_MIN_NS)
		return 0;
	if (!importer(task))
		return 0;
	if (cookie & COOKIE_SHELL) {
		tell_commands(task, IMPORT_END, cookie);
		return 0;
	}
	ev = import_reserve(task, IMPORT_WHOLE, cookie >> COOKIE_PY_FILE_SHIFT);
	if (!ev)
		return 0;
	ev->since_ns = frame->at_ns;
	ev->dots = (__s32)frame->dots > 0 ? frame->dots : 0;
	if (PT_REGS_RC(ctx))
		ev->facts |= IMPORT_FOUND;
	text = cookie & COOKIE_TEXT_MASK;
	n = bpf_probe_read_user_str(ev->name, sizeof(ev->name), (void *)(frame->name + text));
	if (n > 0)
		ev->name_len = n - 1;
	if (n == sizeof(ev->name))
		ev->facts |= IMPORT_NAME_CUT;
	bpf_ringbuf_submit(ev, wake_flags());
	return 0;
}
