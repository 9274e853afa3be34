/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Waits of watched tasks that are told singly: kind, object, peer, file of a page.
 */

/* What a wait was about, as far as the switch knows. */
struct wait_what {
	__u64 file;                   /* struct file * whose page was waited for, or 0 */
	__u64 walk;                   /* struct nameidata * of the walk along a path that it was in, or 0 */
	__u64 now;
	__u64 task;                   /* struct task_struct *, as a number: see plain.bpf.h */
	__u64 rival;                  /* struct task_struct * that gave the CPU up */
	__u64 rival_ns;               /* ... after so long, by the scheduler's clock; 0: not known */
	__u64 wake_ns;
};

/*
 * Does a signal interrupt the task? There is a flag for that, but its place among the flags is in no type information,
 * and moved (x86, 6.18).
 */
static __always_inline bool is_signalled(struct task_struct *task)
{
	struct signal_struct *all = READ(struct task_struct, task, signal);
	__u64 pending = READ(struct task_struct, task, pending.signal.sig[0]);

	pending |= READ(struct signal_struct, all, shared_pending.signal.sig[0]);
	return pending & ~READ(struct task_struct, task, blocked.sig[0]);
}

/* A path as the task that waited sees it. */
static __always_inline void fill_wait_path(struct event_wait *ev, struct scratch *s, struct task_struct *task,
					   struct dentry *dentry, struct vfsmount *mnt)
{
	struct fs_struct *fs = READ(struct task_struct, task, fs);

	if (fs)
		ev->path_len = fill_path(s, dentry, mnt, fs, &ev->facts, FACT_PATH_CUT);
}

/* Describes where a walk along a path has come to. */
static __always_inline void fill_wait_walk(struct event_wait *ev, struct scratch *s, struct task_struct *task,
					   __u64 walk)
{
	struct event_fd what = {};
	struct dentry *dentry;
	struct inode *inode;

	if (!bpf_core_field_exists(struct nameidata, path))
		return;
	dentry = READ(struct nameidata, (void *)walk, path.dentry);
	inode = dentry ? READ(struct dentry, dentry, d_inode) : NULL;
	/* It has come to nothing yet, or is given up. */
	if (!inode)
		return;
	describe_inode(inode, &what);
	if ((READ(struct inode, inode, i_mode) & S_IFMT) == S_IFDIR)
		what.kind = FD_FOLDER;
	ev->fd_kind = what.kind;
	ev->inode = what.inode;
	fill_wait_path(ev, s, task, dentry, READ(struct nameidata, (void *)walk, path.mnt));
}

/* Appends the name of a unix socket, that of the other end first: it may have been bound under another root, or be gone. */
static __always_inline void fill_wait_unix(struct event_wait *ev, struct scratch *s, struct task_struct *task,
					   __u64 sock)
{
	struct unix_sock *sk = (void *)sock, *peer = (void *)BPF_CORE_READ(sk, peer);
	__u32 tid = READ(struct task_struct, task, pid), at = s->at;
	struct name_at name = {};
	struct wanted *to;

	if (peer)
		name = name_of_unix(peer);
	if (!name.len && call_class(ev->nr) == CALL_CONNECT) {
		to = bpf_map_lookup_elem(&wanted, &tid);
		if (to) {
			name.at = (__u64)to->name;
			name.len = to->len;
		}
	}
	if (!name.len)
		name = name_of_unix(sk);
	if (name.len > UNIX_PATH_MAX)
		name.len = UNIX_PATH_MAX;
	barrier_var(name.len);
	if (!name.len || name.len > UNIX_PATH_MAX || at > SCRATCH_LAST)
		return;
	if (bpf_probe_read_kernel(s->data + at, name.len, (void *)name.at))
		return;
	ev->path_len = name.len;
	s->at = at + name.len;
}

/* Describes the descriptor that a wait was on. */
static __always_inline void fill_wait_fd(struct event_wait *ev, struct scratch *s,
					 struct task_struct *task, __u64 faulted)
{
	struct event_fd what = {};
	struct files_struct *files;
	struct dentry *dentry;
	struct file *file;
	struct sock *sk;
	__u64 table;
	__u32 ready;

	if (faulted) {
		file = (void *)faulted;
		what.kind = FD_FILE;
		what.inode = BPF_CORE_READ(file, f_inode, i_ino);
	} else {
		if (ev->fd == NO_FD)
			return;
		files = READ(struct task_struct, task, files);
		if (!files)
			return;
		table = NUMBER(READ(struct files_struct, files, fdt));
		if (call_class(ev->nr) == CALL_EPOLL) {
			ready = epoll_ready(table, ev->args[0]);
			if (ready != NO_FD)
				ev->fd = ready;
		}
		file = file_of(table, ev->fd);
		if (!file)
			return;
		describe_fd(table, ev->fd, &what);
	}
	ev->fd_kind = what.kind;
	ev->inode = what.inode;
	if (what.kind == FD_SOCKET) {
		sk = sock_of(file);
		ev->facts |= FACT_SOCK;
		describe_sock((__u64)sk, &ev->sock);
		if (ev->sock.family == AF_UNIX)
			fill_wait_unix(ev, s, task, (__u64)sk);
		return;
	}
	dentry = READ(struct file, file, f_path.dentry);
	/* A pipe without a name lies in no folder. */
	if (what.kind == FD_PIPE && READ(struct dentry, dentry, d_parent) == dentry)
		return;
	if (what.kind != FD_NULL && what.kind != FD_CLOSED)
		fill_wait_path(ev, s, task, dentry, READ(struct file, file, f_path.mnt));
}

/* All of a wait's record but what its descriptor is. */
static __always_inline void fill_wait(struct event_wait *ev, struct task_state *st, struct wait_what *what)
{
	struct task_struct *task = (void *)what->task, *rival = (void *)what->rival;

	take_spent(st, &ev->spent, st->off_ns);
	ev->off_ns = st->off_ns;
	ev->wake_ns = what->wake_ns;
	ev->args[0] = st->args[0];
	ev->args[1] = st->args[1];
	ev->args[2] = st->args[2];
	ev->timeout_ns = st->timeout_ns;
	ev->nr = st->nr;
	ev->kind = st->kind;
	ev->facts = st->facts;
	ev->fd = st->fd;
	ev->inode = 0;
	ev->members = st->members;
	ev->fd_kind = FD_UNKNOWN;
	ev->waker_kind = what->wake_ns ? st->waker_kind : WAKER_NONE;
	ev->waker_pid = st->waker_pid;
	ev->waker_tid = st->waker_tid;
	if (waker_exact)
		ev->facts |= FACT_WAKER_EXACT;
	ev->path_len = 0;
	ev->reserved = 0;
	__builtin_memset(&ev->sock, 0, sizeof(ev->sock));
	__builtin_memcpy(ev->waker_comm, st->waker_comm, COMM_LEN);
	ev->rival_pid = READ(struct task_struct, rival, tgid);
	ev->rival_ns = what->rival_ns;
	if (bpf_ksym_exists(bpf_rdonly_cast))
		__builtin_memcpy(ev->rival_comm, AS(struct task_struct, rival)->comm, COMM_LEN);
	else
		bpf_probe_read_kernel(ev->rival_comm, COMM_LEN,
				      (void *)rival + bpf_core_field_offset(struct task_struct, comm));
	if (is_signalled(task))
		ev->facts |= FACT_SIGNAL;
	st->since_ns = what->now;
}

static __always_inline void fill_wait_head(struct event_wait *ev, struct wait_what *what, __u32 size)
{
	struct task_struct *task = (void *)what->task, *leader;

	ev->head.time_ns = what->now;
	leader = READ(struct task_struct, task, group_leader);
	ev->head.birth_ns = READ(struct task_struct, leader, start_boottime);
	ev->head.size = size;
	ev->head.kind = EVENT_WAIT;
	ev->head.pid = READ(struct task_struct, task, tgid);
	ev->head.tid = READ(struct task_struct, task, pid);
}

/*
 * Writes the wait of a task that is about to get its CPU: straight into the ring where no descriptor, and so no path, is
 * to be told.
 */
__noinline int write_wait(struct task_state *st, struct wait_what *what)
{
	struct event_wait *ev;
	struct scratch *s;

	if (!st || !what)
		return 0;
	if (!what->file && !what->walk && st->fd == NO_FD) {
		ev = ring_reserve(sizeof(*ev));
		if (!ev)
			return 0;
		fill_wait(ev, st, what);
		fill_wait_head(ev, what, sizeof(*ev));
		bpf_ringbuf_submit(ev, wake_flags());
		return 0;
	}
	s = scratch_take(sizeof(*ev));
	if (!s)
		return 0;
	ev = (void *)s->data;
	fill_wait(ev, st, what);
	if (what->walk)
		fill_wait_walk(ev, s, (void *)what->task, what->walk);
	else
		fill_wait_fd(ev, s, (void *)what->task, what->file);
	if ((ev->facts & FACT_SOCK) && what->wake_ns)
		sender_find(ev, what->now);
	fill_wait_head(ev, what, s->at);
	scratch_send(s);
	scratch_give(s);
	return 0;
}

/* ---- the file of a page ---- */

static long note_file(struct task_struct *task, struct vm_area_struct *vma, void *ctx)
{
	__u64 *file = ctx;

	*file = (__u64)BPF_CORE_READ(vma, vm_file);
	return 0;
}

/* The file that is mapped where the task's last page fault was; 0 where it is none, or the map is being changed. */
static __always_inline __u64 file_of_fault(struct task_struct *task, struct task_state *st)
{
	__u64 file = 0;

	if (faults_told && st->fault)
		bpf_find_vma(task, st->fault, note_file, &file, 0);
	return file;
}
