/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Readers of kernel objects that more than one record needs: paths, descriptors, cgroups, registers.
 *
 * Those that branch a lot are global functions: the verifier looks at each once and on its own, not
 * at every call in every state of the caller. That made loading ten times faster. Their pointers into
 * the kernel come as numbers, which is all that a global function may be given.
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
 * A walk from a dentry up to the root of a process. The steps are a bpf_loop() callback: as a plain loop, the verifier
 * would follow every combination of names and mounts. Pointers are kept as numbers: else each step that changes what the
 * verifier knows of one makes it look at the callback once more.
 */
struct walk {
	struct scratch *scratch;
	__u64 dentry;
	__u64 mnt;
	__u64 mnt_root;
	__u64 root_dentry;
	__u64 root_mnt;
	__u32 begin;
	__u32 done;
};

/* Names up to here are copied by words. */
#define SHORT_NAME 32

static __always_inline __u64 word_at(__u64 at)
{
	return (__u64)pointer_at((void *)at);
}

/*
 * Appends a dentry's name, as walk_append() does, if it is a short one: most are, and four loads cost less than a helper
 * and the functions below it. The bytes behind a name are the kernel's, and overwritten by what is appended next.
 */
static __always_inline bool walk_short(struct scratch *s, __u32 begin, struct dentry *dentry)
{
	__u32 at, len;
	__u64 name, *to;

	if (!bpf_ksym_exists(bpf_rdonly_cast))
		return false;
	len = READ(struct dentry, dentry, d_name.len);
	at = s->at;
	if (len >= SHORT_NAME || at - begin > PATH_CAP - NAME_CAP)
		return false;
	barrier_var(at);
	if (at > SCRATCH_LAST)
		return false;
	/* To the verifier a pointer to characters is a number. */
	name = (__u64)READ(struct dentry, dentry, d_name.name);
	to = (void *)(s->data + at);
	to[0] = word_at(name);
	if (len >= 8)
		to[1] = word_at(name + 8);
	if (len >= 16) {
		to[2] = word_at(name + 16);
		to[3] = word_at(name + 24);
	}
	barrier_var(len);
	if (len >= SHORT_NAME)
		return false;
	/* It is being changed. */
	if (((char *)to)[len])
		return false;
	s->at = at + len + 1;
	return true;
}

/* Appends one name of a path that began at `begin`; the pointer to it lies at `place`. */
__noinline int walk_append(struct scratch *s, __u32 begin, __u64 place)
{
	__u32 at;
	long n;

	if (!s)
		return 0;
	at = s->at;
	if (at - begin > PATH_CAP - NAME_CAP)
		return 0;
	barrier_var(at);
	if (at > SCRATCH_LAST)
		return 0;
	n = bpf_probe_read_kernel_str(s->data + at, NAME_CAP, pointer_at((void *)place));
	if (n <= 0 || n > NAME_CAP)
		return 0;
	s->at = at + n;
	return 1;
}

static long walk_dentry(__u32 i, void *ctx)
{
	struct walk *w = ctx;
	struct dentry *dentry = (void *)w->dentry;
	bool is_top = w->dentry == w->mnt_root;
	__u64 parent;

	if (w->dentry == w->root_dentry && w->mnt == w->root_mnt) {
		w->done = 1;
		return 1;
	}
	parent = NUMBER(READ(struct dentry, dentry, d_parent));
	if (is_top) {
		struct mount *mnt = (void *)w->mnt - bpf_core_field_offset(struct mount, mnt);
		__u64 up = NUMBER(READ(struct mount, mnt, mnt_parent));

		if (up != (__u64)mnt) {
			struct vfsmount *outer = (void *)up + bpf_core_field_offset(struct mount, mnt);

			w->dentry = NUMBER(READ(struct mount, mnt, mnt_mountpoint));
			w->mnt = (__u64)outer;
			w->mnt_root = NUMBER(READ(struct vfsmount, outer, mnt_root));
			return 0;
		}
	}
	/*
	 * The top of the tree, or of a mount that is mounted nowhere. There the object itself may be the root (a memfd):
	 * its name is all there is.
	 */
	is_top |= w->dentry == parent;
	if (is_top && w->scratch->at != w->begin) {
		w->done = 1;
		return 1;
	}
	if (!walk_short(w->scratch, w->begin, dentry) &&
	    !walk_append(w->scratch, w->begin, w->dentry + bpf_core_field_offset(struct dentry, d_name.name)))
		return 1;
	w->dentry = parent;
	w->done = is_top;
	return is_top;
}

#define WALK_CUT (1U << 31)

/* Where a walk begins, and the root that ends it. Without mounts and a root it ends at the top of the file system. */
struct place {
	struct dentry *dentry;
	struct vfsmount *mnt;
	struct dentry *root_dentry;
	struct vfsmount *root_mnt;
};

/*
 * Appends the components of a path from the leaf up, each with its NUL, as far as the given root, as
 * a process with that root would see it. Returns the bytes appended, with WALK_CUT if the root was not
 * reached.
 */
__noinline __u32 walk_path(struct scratch *s, struct place *place)
{
	struct vfsmount *mnt;
	struct walk w = {};

	if (!s || !place)
		return 0;
	mnt = place->mnt;
	w.scratch = s;
	w.begin = s->at;
	w.dentry = (__u64)place->dentry;
	w.mnt = (__u64)mnt;
	w.root_dentry = (__u64)place->root_dentry;
	w.root_mnt = (__u64)place->root_mnt;
	if (mnt)
		w.mnt_root = NUMBER(READ(struct vfsmount, mnt, mnt_root));
	w.done = some_zero;
	bpf_loop(PATH_STEPS, walk_dentry, &w, 0);
	if (w.done)
		return s->at - w.begin;
	__sync_fetch_and_add(&lost.paths, 1);
	return (s->at - w.begin) | WALK_CUT;
}

/* A path as the current process sees it; adds `cut` to the facts if it is not whole. */
static __always_inline __u32 fill_path(struct scratch *s, struct dentry *dentry,
				       struct vfsmount *mnt, struct fs_struct *fs, __u32 *facts,
				       __u32 cut)
{
	struct place place = {
		.dentry = dentry,
		.mnt = mnt,
		.root_dentry = READ(struct fs_struct, fs, root.dentry),
		.root_mnt = READ(struct fs_struct, fs, root.mnt),
	};
	__u32 len = walk_path(s, &place);

	if (len & WALK_CUT)
		*facts |= cut;
	return len & ~WALK_CUT;
}

/*
 * Has a task another root than the tracer: a changed one, or one in another mount namespace? Where its files lie for the
 * tracer is then not told by its paths, which may lead to others there.
 */
static __always_inline bool is_elsewhere(struct fs_struct *fs)
{
	struct vfsmount *root = READ(struct fs_struct, fs, root.mnt);
	struct mount *mnt = (void *)root - bpf_core_field_offset(struct mount, mnt);
	struct dentry *dentry = READ(struct fs_struct, fs, root.dentry);
	struct inode *inode;

	if (!own_root_mount || ((__u64)root == own_root_at[0] && (__u64)dentry == own_root_at[1]))
		return false;
	inode = READ(struct dentry, dentry, d_inode);
	if ((__u32)READ(struct mount, mnt, mnt_id) != own_root_mount ||
	    READ(struct inode, inode, i_ino) != own_root_inode)
		return true;
	own_root_at[0] = (__u64)root;
	own_root_at[1] = (__u64)dentry;
	return false;
}

/* A path within its file system, whatever is mounted where. */
static __always_inline __u32 fill_path_within(struct scratch *s, struct dentry *dentry)
{
	struct place place = {
		.dentry = dentry,
	};
	__u32 len = walk_path(s, &place);

	/* A part of it leads nowhere. */
	return len & WALK_CUT ? 0 : len;
}

static __always_inline struct file *fd_file(struct fdtable *fdt, __u32 fd)
{
	struct file **table = READ(struct fdtable, fdt, fd);

	return pointer_at(table + fd);
}

/* Describes descriptor `fd` of a table. */
__noinline int describe_fd(__u64 table, __u32 fd, struct event_fd *out)
{
	struct file *file = fd_file((void *)table, fd);
	struct inode *inode;
	unsigned short mode;
	__u32 rdev;

	if (!out)
		return 0;
	out->inode = 0;
	out->rdev = 0;
	if (!file || fd >= READ(struct fdtable, (void *)table, max_fds)) {
		out->kind = FD_CLOSED;
		return 0;
	}
	inode = READ(struct file, file, f_inode);
	mode = READ(struct inode, inode, i_mode) & S_IFMT;
	out->inode = READ(struct inode, inode, i_ino);
	out->kind = FD_OTHER;
	if (mode == S_IFIFO) {
		out->kind = FD_PIPE;
	} else if (mode == S_IFREG) {
		out->kind = FD_FILE;
	} else if (mode == S_IFSOCK) {
		out->kind = FD_SOCKET;
	} else if (mode == S_IFCHR) {
		rdev = READ(struct inode, inode, i_rdev);
		out->rdev = rdev;
		if (rdev == (1 << 20 | 3))
			out->kind = FD_NULL;
		/* consoles and virtual terminals, /dev/tty and its kin, pseudo terminals */
		else if (rdev >> 20 == 4 || rdev >> 20 == 5 || (rdev >> 20 >= 136 && rdev >> 20 <= 143))
			out->kind = FD_TTY;
	}
	return 0;
}

static __always_inline void fds_unknown(struct event_fd *fds, const int n)
{
	for (int i = 0; i < n; i++) {
		fds[i].inode = 0;
		fds[i].kind = FD_UNKNOWN;
		fds[i].rdev = 0;
	}
}

/* The first `n` descriptors of the current task's table; returns the facts to add. */
static __always_inline __u32 fds_read(struct task_struct *task, struct event_fd *fds, const int n)
{
	struct files_struct *files = plain(task)->files;
	__u64 table;

	if (!files) {
		fds_unknown(fds, n);
		return 0;
	}
	table = NUMBER(READ(struct files_struct, files, fdt));
	for (int i = 0; i < n; i++)
		describe_fd(table, i, &fds[i]);
	return FACT_FDS_KNOWN;
}

#define PIPE_ENDS 4

struct pipe_search {
	struct fdtable *fdt;
	unsigned long *cloexec_map;
	__u64 write_ends[PIPE_ENDS];  /* whose read end was not met yet */
	__u32 met;
	__u32 fd;
	__u32 pairs;
	__u32 first_fd;
	__u32 open;                   /* some end is not close-on-exec */
};

static __always_inline void note_cloexec(struct pipe_search *p)
{
	unsigned long word = 0;

	bpf_probe_read_kernel(&word, sizeof(word), p->cloexec_map + p->fd / 64);
	if (!(word >> (p->fd & 63) & 1))
		p->open = 1;
}

static long search_pipe(__u32 i, void *ctx)
{
	struct pipe_search *p = ctx;
	struct fdtable *fdt = p->fdt;
	struct inode *inode;
	struct file *file;
	unsigned short mode;
	__u32 how, both = 0;
	__u64 number;

	if (p->fd <= 3 || p->pairs >= 2)
		return 1;
	p->fd--;
	file = fd_file(fdt, p->fd);
	if (!file)
		return p->met ? 0 : 1;
	inode = READ(struct file, file, f_inode);
	mode = READ(struct inode, inode, i_mode) & S_IFMT;
	/* Only the newest descriptor must be an end: the write end, which pipe(2) makes second. */
	if (mode != S_IFIFO)
		return p->met ? 0 : 1;
	number = READ(struct inode, inode, i_ino);
	how = READ(struct file, file, f_mode);
	if (how & FMODE_WRITE) {
		p->write_ends[p->met++ % PIPE_ENDS] = number;
		return 0;
	}
	if (!p->met)
		return 1;
	/* Each end's number is met once. Without a branch for each, that the verifier would follow. */
	for (int n = 0; n < PIPE_ENDS; n++) {
		__u64 differs = p->write_ends[n] ^ number;

		both |= !differs;
		p->write_ends[n] = differs ? p->write_ends[n] : 0;
	}
	if (both) {
		p->pairs++;
		p->first_fd = p->fd;
		note_cloexec(p);
		/* A pipe made before this one lies below it as a whole: descriptors are given out from the lowest. */
		for (int n = 0; n < PIPE_ENDS; n++)
			p->write_ends[n] = 0;
	}
	return 0;
}

#define PIPE_STEPS 16
#define PIPES_KNOWN (1 << 8)
#define PIPES_CLOEXEC (1 << 9)

/*
 * How many pairs (read end, write end) of one pipe each are the newest descriptors: what a runtime
 * leaves that makes pipes just before it forks. A descriptor is the newest if it lies right below
 * the hint for the next one; other ends may have filled holes, and some of other pipes may lie in
 * between, so some steps down are looked at. A pipe with one end in between is an older one.
 * The high half is the lowest of their numbers.
 */
__noinline __u64 fresh_pipes(__u64 table)
{
	struct files_struct *files = (void *)table;
	__u64 zero = some_zero;
	struct pipe_search p = { .write_ends = { zero, zero, zero, zero } };
	struct fdtable *fdt;
	__u64 found;

	if (!files)
		return 0;
	fdt = READ(struct files_struct, files, fdt);
	p.met = p.pairs = p.first_fd = p.open = zero;
	p.fdt = fdt;
	p.cloexec_map = READ(struct fdtable, fdt, close_on_exec);
	p.fd = READ(struct files_struct, files, next_fd);
	if (p.fd > READ(struct fdtable, fdt, max_fds))
		return 0;
	bpf_loop(PIPE_STEPS, search_pipe, &p, 0);
	found = p.pairs | PIPES_KNOWN;
	if (p.pairs && !p.open)
		found |= PIPES_CLOEXEC;
	return found | (__u64)p.first_fd << 32;
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
	if (!walk_append(w->scratch, sizeof(struct event_cgroup),
			 (__u64)kn + bpf_core_field_offset(struct kernfs_node, name)))
		return 1;
	w->kn = parent;
	return 0;
}

/* Numbers of the two hierarchies overlap. */
static __always_inline __u64 cgroup_key(__u64 id, __u32 facts)
{
	return id << 1 | !!(facts & FACT_CGROUP_V1);
}

/* Writes a cgroup's name: done the first time it is met. */
__noinline int name_cgroup(__u64 node, __u64 id, __u32 facts)
{
	__u64 key = cgroup_key(id, facts);
	struct cgroup_walk w = { .kn = (void *)node };
	struct event_cgroup *ev;
	struct scratch *s;
	__u8 one = 1;

	s = scratch_take(sizeof(*ev));
	if (!s)
		return 0;
	ev = (void *)s->data;
	w.scratch = s;
	bpf_loop(PATH_STEPS, walk_cgroup, &w, 0);
	ev->head.time_ns = bpf_ktime_get_boot_ns();
	ev->head.birth_ns = 0;
	ev->head.size = s->at;
	ev->head.kind = EVENT_CGROUP;
	ev->head.pid = 0;
	ev->head.tid = 0;
	ev->cgroup_id = id;
	ev->facts = facts & FACT_CGROUP_V1;
	ev->path_len = s->at - sizeof(*ev);
	if (scratch_send(s))
		bpf_map_update_elem(&named_cgroups, &key, &one, BPF_ANY);
	scratch_give(s);
	return 0;
}

/* The cgroup that a trace names for a task with these groups, as a key; its name goes ahead where it is new. */
__noinline __u64 cgroup_key_of(__u64 groups)
{
	struct css_set *set = (void *)groups;
	struct cgroup_subsys_state *css;
	struct kernfs_node *kn;
	struct cgroup *cgroup;
	__u32 at, facts = 0;
	__u64 id, key;

	cgroup = READ(struct css_set, set, dfl_cgrp);
	if (cgroup_v1 && READ(struct cgroup, cgroup, level) == 0) {
		at = bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id);
		css = pointer_at((void *)groups + bpf_core_field_offset(struct css_set, subsys) + at * sizeof(css));
		if (css) {
			cgroup = READ(struct cgroup_subsys_state, css, cgroup);
			facts = FACT_CGROUP_V1;
		}
	}
	kn = READ(struct cgroup, cgroup, kn);
	id = READ(struct kernfs_node, kn, id);
	key = cgroup_key(id, facts);
	/* A storm of starts is of one cgroup. */
	if (key == named_last)
		return key;
	if (bpf_map_lookup_elem(&named_cgroups, &key))
		named_last = key;
	else
		name_cgroup(NUMBER(kn), id, facts);
	return key;
}

/* That cgroup's number; adds to the facts in which hierarchy. */
static __always_inline __u64 cgroup_of(struct task_struct *task, __u32 *facts)
{
	__u64 key = cgroup_key_of(NUMBER(plain(task)->cgroups));

	if (key & 1)
		*facts |= FACT_CGROUP_V1;
	return key >> 1;
}

static __always_inline __u32 pid_level(struct task_struct *task)
{
	return READ(struct pid, plain(task)->thread_pid, level);
}

/* Process id in the task's own PID namespace. */
static __always_inline __u32 own_ns_pid(struct task_struct *task)
{
	struct pid *pid = plain(task)->thread_pid;
	__u32 level = READ(struct pid, pid, level);
	struct upid upid = {};

	if (!level)
		return READ(struct pid, pid, numbers[0].nr);
	if (level > 32)
		return 0;
	/* Read as a number: older kernels allow no arithmetic with this on a typed pointer. */
	pid = BPF_CORE_READ(task, thread_pid);
	bpf_probe_read_kernel(&upid, sizeof(upid),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      level * bpf_core_type_size(struct upid));
	return upid.nr;
}

#define SIG_IGN_HANDLER 1

struct handlers {
	__u64 of[6];
};

/* Signals that are ignored (low half) and handled (high half); bit 0 is signal 1. */
__noinline __u64 dispositions(struct handlers *handlers)
{
	const __u32 bits[6] = { 1 << 0, 1 << 1, 1 << 2, 1 << 12, 1 << 14, 1 << 16 };
	__u64 found = 0;

	if (!handlers)
		return 0;
	for (int i = 0; i < 6; i++) {
		if (handlers->of[i] == SIG_IGN_HANDLER)
			found |= bits[i];
		else if (handlers->of[i])
			found |= (__u64)bits[i] << 32;
	}
	return found;
}

static __always_inline __u64 signals_of(struct sighand_struct *sighand)
{
	struct handlers handlers;

	/* HUP, INT, QUIT, PIPE, TERM, CHLD */
	handlers.of[0] = (__u64)sighand->action[0].sa.sa_handler;
	handlers.of[1] = (__u64)sighand->action[1].sa.sa_handler;
	handlers.of[2] = (__u64)sighand->action[2].sa.sa_handler;
	handlers.of[3] = (__u64)sighand->action[12].sa.sa_handler;
	handlers.of[4] = (__u64)sighand->action[14].sa.sa_handler;
	handlers.of[5] = (__u64)sighand->action[16].sa.sa_handler;
	return dispositions(&handlers);
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

/*
 * The process group, and whether it is the foreground one of the controlling terminal: a shell with
 * job control gives each job a group, and the terminal to that in the foreground. (`ctrl` came with
 * 5.14, before anything that the other programs need.)
 */
static __always_inline __u32 group_facts(struct signal_struct *signal, __u32 *number)
{
	struct pid *group = READ(struct signal_struct, signal, pids[PIDTYPE_PGID]);
	struct tty_struct *tty = READ(struct signal_struct, signal, tty);

	*number = READ(struct pid, group, numbers[0].nr);
	if (!tty || !bpf_core_field_exists(struct tty_struct, ctrl.pgrp))
		return 0;
	if (READ(struct tty_struct, tty, ctrl.pgrp) != group)
		return FACT_FOREGROUND_KNOWN;
	return FACT_FOREGROUND_KNOWN | FACT_FOREGROUND;
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
