/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Readers of kernel objects that more than one record needs: paths, descriptors, cgroups, registers.
 */
#ifndef STARTRACE_READ_H
#define STARTRACE_READ_H

#define PATH_STEPS 64
#define NAME_CAP 256

/* Appends a kernel string of at most PATH_CAP bytes, NUL included; returns the bytes appended. */
static __always_inline __u32 fill_kernel_str(struct scratch *s, const void *str)
{
	__u32 at = s->at;
	long n;

	if (at > SCRATCH_LAST)
		return 0;
	n = bpf_probe_read_kernel_str(s->data + at, PATH_CAP, str);
	if (n <= 0 || n > PATH_CAP)
		return 0;
	s->at = at + n;
	return n;
}

static __always_inline __u32 fill_user_str(struct scratch *s, const void *str)
{
	__u32 at = s->at;
	long n;

	if (at > SCRATCH_LAST)
		return 0;
	n = bpf_probe_read_user_str(s->data + at, PATH_CAP, str);
	if (n <= 0 || n > PATH_CAP)
		return 0;
	s->at = at + n;
	return n;
}

/* Hands the record in the buffer over to the ring. */
static __always_inline bool scratch_send(struct scratch *s)
{
	__u32 len = s->at;

	if (len < sizeof(struct event_head) || len > SCRATCH_CAP)
		return false;
	if (bpf_ringbuf_output(&ring, s->data, len, wake_flags())) {
		count_lost_event(len);
		return false;
	}
	return true;
}

/* A walk from a dentry up to the root of a process. The steps are a bpf_loop() callback: as a plain
 * loop, the verifier would follow every combination of names and mounts. */
struct walk {
	struct scratch *scratch;
	__u32 begin;
	struct dentry *dentry;
	struct vfsmount *mnt;
	struct dentry *mnt_root;
	struct dentry *root_dentry;
	struct vfsmount *root_mnt;
	bool done;
};

/* Appends one name of a path that began at `begin`. */
static __always_inline bool walk_append(struct scratch *s, __u32 begin, const void *name)
{
	__u32 at = s->at;
	long n;

	if (at > SCRATCH_LAST || at - begin > PATH_CAP - NAME_CAP)
		return false;
	n = bpf_probe_read_kernel_str(s->data + at, NAME_CAP, name);
	if (n <= 0 || n > NAME_CAP)
		return false;
	s->at = at + n;
	return true;
}

static long walk_dentry(__u32 i, void *ctx)
{
	struct walk *w = ctx;
	struct dentry *dentry = w->dentry;
	struct dentry *parent;

	if (dentry == w->root_dentry && w->mnt == w->root_mnt) {
		w->done = true;
		return 1;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	if (dentry == w->mnt_root) {
		struct mount *mnt = (void *)w->mnt - bpf_core_field_offset(struct mount, mnt);
		struct mount *up = BPF_CORE_READ(mnt, mnt_parent);

		if (up != mnt) {
			struct vfsmount *outer = (void *)up + bpf_core_field_offset(struct mount, mnt);

			w->dentry = BPF_CORE_READ(mnt, mnt_mountpoint);
			w->mnt = outer;
			w->mnt_root = BPF_CORE_READ(outer, mnt_root);
			return 0;
		}
	}
	if (dentry == parent || dentry == w->mnt_root) {
		/* The top of the tree, or of a mount that is mounted nowhere. There the object itself
		 * may be the root (a memfd): its name is all there is. */
		w->done = w->scratch->at != w->begin ||
			  walk_append(w->scratch, w->begin, BPF_CORE_READ(dentry, d_name.name));
		return 1;
	}
	if (!walk_append(w->scratch, w->begin, BPF_CORE_READ(dentry, d_name.name)))
		return 1;
	w->dentry = parent;
	return 0;
}

/*
 * Appends the components of a path from the leaf up, each with its NUL, as far as the root of the
 * current process, as the process itself would see it. Returns the bytes appended; `*cut` is set if
 * the root was not reached.
 */
static __always_inline __u32 fill_path(struct scratch *s, const struct path *start,
				       const struct path *root, bool *cut)
{
	struct vfsmount *mnt = BPF_CORE_READ(start, mnt);
	struct walk w = {
		.scratch = s,
		.begin = s->at,
		.dentry = BPF_CORE_READ(start, dentry),
		.mnt = mnt,
		.mnt_root = BPF_CORE_READ(mnt, mnt_root),
		.root_dentry = BPF_CORE_READ(root, dentry),
		.root_mnt = BPF_CORE_READ(root, mnt),
	};

	bpf_loop(PATH_STEPS, walk_dentry, &w, 0);
	if (!w.done) {
		*cut = true;
		__sync_fetch_and_add(&lost.paths, 1);
	}
	return s->at - w.begin;
}

static __always_inline void fd_describe(struct event_fd *out, struct file *file)
{
	struct inode *inode;
	unsigned short mode;
	__u32 rdev;

	out->inode = 0;
	out->rdev = 0;
	if (!file) {
		out->kind = FD_CLOSED;
		return;
	}
	inode = BPF_CORE_READ(file, f_inode);
	mode = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	out->inode = BPF_CORE_READ(inode, i_ino);
	out->kind = FD_OTHER;
	if (mode == S_IFIFO) {
		out->kind = FD_PIPE;
	} else if (mode == S_IFREG) {
		out->kind = FD_FILE;
	} else if (mode == S_IFSOCK) {
		out->kind = FD_SOCKET;
	} else if (mode == S_IFCHR) {
		rdev = BPF_CORE_READ(inode, i_rdev);
		out->rdev = rdev;
		if (rdev == (1 << 20 | 3))
			out->kind = FD_NULL;
		/* consoles and virtual terminals, /dev/tty and its kin, pseudo terminals */
		else if (rdev >> 20 == 4 || rdev >> 20 == 5 || (rdev >> 20 >= 136 && rdev >> 20 <= 143))
			out->kind = FD_TTY;
	}
}

static __always_inline struct file *fd_file(struct file **table, __u32 fd)
{
	struct file *file = NULL;

	bpf_probe_read_kernel(&file, sizeof(file), table + fd);
	return file;
}

static __always_inline void fds_unknown(struct event_fd fds[3])
{
	for (int i = 0; i < 3; i++) {
		fds[i].inode = 0;
		fds[i].kind = FD_UNKNOWN;
		fds[i].rdev = 0;
	}
}

/* Descriptors 0, 1 and 2 of the current task's table; returns the facts to add. */
static __always_inline __u32 fds_read(struct task_struct *task, struct event_fd fds[3])
{
	struct files_struct *files = task->files;
	struct fdtable *fdt;
	struct file **table;

	fds_unknown(fds);
	if (!files)
		return 0;
	fdt = BPF_CORE_READ(files, fdt);
	table = BPF_CORE_READ(fdt, fd);
	for (__u32 i = 0; i < 3; i++)
		fd_describe(&fds[i], fd_file(table, i));
	return FACT_FDS_KNOWN;
}

/*
 * How many pairs (read end, write end) of one pipe each are the newest descriptors: what a runtime
 * leaves that makes pipes just before it forks. A descriptor is the newest if it lies right below
 * the hint for the next one; older ends may have filled holes, so some steps down are looked at.
 */
static __always_inline __u32 fresh_pipes(struct task_struct *task, __u32 *facts)
{
	struct files_struct *files = task->files;
	struct fdtable *fdt;
	struct file **table;
	unsigned long *cloexec_map;
	bool cloexec = true;
	__u64 write_end = 0;
	__u32 pairs = 0;
	__u32 fd;

	if (!files)
		return 0;
	fdt = BPF_CORE_READ(files, fdt);
	table = BPF_CORE_READ(fdt, fd);
	cloexec_map = BPF_CORE_READ(fdt, close_on_exec);
	fd = BPF_CORE_READ(files, next_fd);
	if (fd > BPF_CORE_READ(fdt, max_fds))
		return 0;
	*facts |= FACT_PIPES_KNOWN;

#pragma clang loop unroll(disable)
	for (int i = 0; i < 12 && pairs < 2; i++) {
		struct event_fd what;
		struct file *file;
		unsigned long word = 0;
		__u32 mode;

		if (fd <= 3)
			break;
		fd--;
		file = fd_file(table, fd);
		if (!file)
			break;
		fd_describe(&what, file);
		if (what.kind != FD_PIPE) {
			/* Only the newest end must be right below the hint. */
			if (!write_end)
				break;
			continue;
		}
		mode = BPF_CORE_READ(file, f_mode);
		if (!write_end) {
			if (!(mode & FMODE_WRITE))
				break;
			write_end = what.inode;
		} else if (what.inode == write_end && (mode & FMODE_READ)) {
			pairs++;
			write_end = 0;
		} else {
			continue;
		}
		bpf_probe_read_kernel(&word, sizeof(word), cloexec_map + fd / 64);
		if (!(word >> (fd & 63) & 1))
			cloexec = false;
	}
	if (pairs && cloexec)
		*facts |= FACT_PIPES_CLOEXEC;
	return pairs;
}

static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *kn)
{
	struct kernfs_node *parent = NULL;

	if (bpf_core_field_exists(struct kernfs_node___rcu_parent, __parent))
		bpf_probe_read_kernel(&parent, sizeof(parent),
				      &((struct kernfs_node___rcu_parent *)kn)->__parent);
	else
		bpf_probe_read_kernel(&parent, sizeof(parent),
				      &((struct kernfs_node___parent *)kn)->parent);
	return parent;
}

struct cgroup_walk {
	struct scratch *scratch;
	struct kernfs_node *kn;
};

static long walk_cgroup(__u32 i, void *ctx)
{
	struct cgroup_walk *w = ctx;
	struct kernfs_node *kn = w->kn;
	struct kernfs_node *parent = kernfs_parent(kn);

	if (!parent)
		return 1;
	if (!walk_append(w->scratch, sizeof(struct event_cgroup), BPF_CORE_READ(kn, name)))
		return 1;
	w->kn = parent;
	return 0;
}

/* Writes a cgroup's name the first time it is met. */
static __always_inline void cgroup_name(struct task_struct *task, struct kernfs_node *kn,
					__u64 id, __u32 facts)
{
	__u64 key = id << 1 | !!(facts & FACT_CGROUP_V1);
	struct cgroup_walk w = { .kn = kn };
	struct event_cgroup *ev;
	struct scratch *s;
	__u8 one = 1;

	if (bpf_map_lookup_elem(&named_cgroups, &key))
		return;
	s = scratch_take(sizeof(*ev));
	if (!s)
		return;
	ev = (void *)s->data;
	w.scratch = s;
	bpf_loop(PATH_STEPS, walk_cgroup, &w, 0);
	head_fill(&ev->head, EVENT_CGROUP, s->at, task, bpf_ktime_get_boot_ns());
	ev->cgroup_id = id;
	ev->facts = facts & FACT_CGROUP_V1;
	ev->path_len = s->at - sizeof(*ev);
	if (scratch_send(s))
		bpf_map_update_elem(&named_cgroups, &key, &one, BPF_ANY);
	scratch_give(s);
}

/* The cgroup that a trace names for the task; its name goes ahead where it is new. */
static __always_inline __u64 cgroup_of(struct task_struct *task, __u32 *facts)
{
	struct css_set *set = task->cgroups;
	struct cgroup *cgroup = BPF_CORE_READ(set, dfl_cgrp);
	struct kernfs_node *kn;
	__u64 id;

	if (cgroup_v1 && BPF_CORE_READ(cgroup, level) == 0) {
		struct cgroup_subsys_state *css = NULL;
		__u32 at = bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id);

		bpf_probe_read_kernel(&css, sizeof(css), &set->subsys[0] + at);
		if (css) {
			cgroup = BPF_CORE_READ(css, cgroup);
			*facts |= FACT_CGROUP_V1;
		}
	}
	kn = BPF_CORE_READ(cgroup, kn);
	id = BPF_CORE_READ(kn, id);
	cgroup_name(task, kn, id, *facts);
	return id;
}

/* Process id in the task's own PID namespace. */
static __always_inline __u32 own_ns_pid(struct task_struct *task)
{
	struct pid *pid = task->thread_pid;
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid upid = {};

	if (level > 32)
		return 0;
	bpf_probe_read_kernel(&upid, sizeof(upid),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      level * bpf_core_type_size(struct upid));
	return upid.nr;
}

static __always_inline __u32 session_facts(struct signal_struct *signal)
{
	__u32 facts = 0;

	if (signal->leader)
		facts |= FACT_SESSION_LEADER;
	if (signal->tty)
		facts |= FACT_HAS_TTY;
	return facts;
}

/* The system call that a task is in, from its saved registers; -1 outside of one. */
static __always_inline __s32 syscall_nr(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	return regs->orig_ax;
#elif defined(__TARGET_ARCH_arm64)
	return regs->syscallno;
#endif
}

#endif
