/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The files that a start opens and looks for, at the deepest level: tracepoints of the calls that name a
 * file. One program serves all of them, as the number of the call tells which it is. They put every
 * system call of the machine on the slow path; strangers then pay one look-up in these calls.
 */

/* Calls of one process that are told singly. Storms of more are diagnosed by their sums. */
#define FILES_TOLD 16384
/* Sums are told after so many calls, or so much time. */
#define FILES_SUMMED 256
#define FILES_SILENT_NS 20000000

/* Of a task: the call that it is in, and what has not been told yet. */
struct file_state {
	__u64 at_ns;                        /* 0: in none */
	__u64 path;
	__u64 since_ns;                     /* of the sums; 0: there are none */
	__u64 spent_ns;
	__s32 nr;
	__u32 op;
	__u32 told;                         /* of a process, on its leader */
	__u32 opened;
	__u32 open_failed;
	__u32 found;
	__u32 missed;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct file_state);
} file_states SEC(".maps");

/* Which of its arguments names the file, and what for; 0: none that is attached. */
#define FILE_ARG1 (1 << 8)
static __always_inline __u32 file_call(__s32 nr)
{
	switch (nr) {
#if defined(__TARGET_ARCH_x86)
	case 2:                                             /* open */
		return FILE_OPEN;
	case 257: case 437:                                 /* openat openat2 */
		return FILE_OPEN | FILE_ARG1;
	case 4: case 6: case 21:                            /* stat lstat access */
		return FILE_LOOK;
	case 262: case 332: case 269: case 439:             /* newfstatat statx faccessat faccessat2 */
		return FILE_LOOK | FILE_ARG1;
#elif defined(__TARGET_ARCH_arm64)
	case 56: case 437:
		return FILE_OPEN | FILE_ARG1;
	case 79: case 291: case 48: case 439:
		return FILE_LOOK | FILE_ARG1;
#endif
	}
	return 0;
}

SEC("?tp/syscalls/sys_enter_openat")
int enter_file(struct trace_event_raw_sys_enter *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *st = state_of_current(task);
	struct file_state *fs;
	__u64 first, second;
	__u32 call;

	if (!is_watched(st))
		return 0;
	/* The number is an int there; what follows it is not written. */
	call = file_call((__s32)ctx->id);
	if (!call || is_settled(task, st))
		return 0;
	/* Both are read at one place: the verifier allows no load of two kinds of pointer. */
	first = ctx->args[0];
	second = ctx->args[1];
	fs = bpf_task_storage_get(&file_states, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!fs) {
		__sync_fetch_and_add(&lost.storage, 1);
		return 0;
	}
	fs->nr = ctx->id;
	fs->op = call & 0xff;
	fs->path = call & FILE_ARG1 ? second : first;
	fs->at_ns = bpf_ktime_get_boot_ns();
	return 0;
}

/* Tells the sums of the current task. */
static __always_inline void files_flush(struct task_struct *task, struct file_state *fs, __u64 now)
{
	struct event_files *ev = ring_reserve(sizeof(*ev));

	if (!ev)
		return;
	head_fill(&ev->head, EVENT_FILES, sizeof(*ev), task, now);
	ev->since_ns = fs->since_ns;
	ev->spent_ns = fs->spent_ns;
	ev->opened = fs->opened;
	ev->open_failed = fs->open_failed;
	ev->found = fs->found;
	ev->missed = fs->missed;
	bpf_ringbuf_submit(ev, wake_flags());
	fs->since_ns = 0;
	fs->spent_ns = 0;
	fs->opened = 0;
	fs->open_failed = 0;
	fs->found = 0;
	fs->missed = 0;
}

static __always_inline void files_add(struct task_struct *task, struct file_state *fs, __s64 ret,
				      __u64 since, __u64 now)
{
	if (!fs->since_ns)
		fs->since_ns = since;
	fs->spent_ns += now - since;
	if (fs->op == FILE_OPEN && ret >= 0)
		fs->opened++;
	else if (fs->op == FILE_OPEN)
		fs->open_failed++;
	else if (ret >= 0)
		fs->found++;
	else
		fs->missed++;
	if (fs->opened + fs->open_failed + fs->found + fs->missed >= FILES_SUMMED ||
	    now - fs->since_ns >= FILES_SILENT_NS)
		files_flush(task, fs, now);
}

/* What a descriptor that was opened just now is. */
static __always_inline void describe_opened(struct event_file *ev, struct task_struct *task, __s64 fd)
{
	struct files_struct *files = BPF_CORE_READ(task, files);
	struct inode *inode;
	struct file *file;
	__u32 kind;

	if (!files)
		return;
	file = file_of((__u64)BPF_CORE_READ(files, fdt), fd);
	if (!file)
		return;
	inode = BPF_CORE_READ(file, f_inode);
	kind = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	if (kind == S_IFDIR) {
		ev->facts |= FILE_FOLDER;
	} else if (kind == S_IFREG) {
		ev->facts |= FILE_REGULAR;
		ev->bytes = BPF_CORE_READ(inode, i_size);
	}
}

/* Tells a call singly. */
__noinline int write_file(struct file_state *fs, __s64 ret, __u64 since, __u64 now)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct event_file *ev;
	struct scratch *s;

	if (!fs)
		return 0;
	s = scratch_take(sizeof(*ev));
	if (!s)
		return 0;
	ev = (void *)s->data;
	ev->since_ns = since;
	ev->bytes = 0;
	ev->result = ret;
	ev->op = fs->op;
	ev->facts = 0;
	ev->path_len = fill_str(s, (void *)fs->path, bpf_probe_read_user_str);
	/* None: fstat by another name. */
	if (ev->path_len != 1) {
		if (ev->path_len == PATH_CAP)
			ev->facts |= FILE_PATH_CUT;
		if (fs->op == FILE_OPEN && ret >= 0)
			describe_opened(ev, task, ret);
		head_fill(&ev->head, EVENT_FILE, s->at, task, now);
		scratch_send(s);
	}
	scratch_give(s);
	return 0;
}

SEC("?tp/syscalls/sys_exit_openat")
int exit_file(struct trace_event_raw_sys_exit *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file_state *fs = bpf_task_storage_get(&file_states, task, NULL, 0);
	struct file_state *leader;
	__u64 since, now;
	__s64 ret;

	if (!fs || !fs->at_ns)
		return 0;
	since = fs->at_ns;
	fs->at_ns = 0;
	if (fs->nr != (__s32)ctx->id)
		return 0;
	ret = ctx->ret;
	now = bpf_ktime_get_boot_ns();
	leader = bpf_task_storage_get(&file_states, task->group_leader, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (leader && leader->told < FILES_TOLD) {
		leader->told++;
		write_file(fs, ret, since, now);
	} else {
		files_add(task, fs, ret, since, now);
	}
	return 0;
}

/* Another image may have another start, with calls of its own. */
SEC("?tp_btf/sched_process_exec")
int on_exec_files(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file_state *fs = bpf_task_storage_get(&file_states, task, NULL, 0);

	if (fs)
		fs->told = 0;
	return 0;
}

/* What is left when a task ends. */
SEC("?tp_btf/sched_process_exit")
int on_exit_files(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file_state *fs = bpf_task_storage_get(&file_states, task, NULL, 0);

	if (fs && fs->since_ns)
		files_flush(task, fs, bpf_ktime_get_boot_ns());
	return 0;
}
