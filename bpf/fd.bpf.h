/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the descriptors of a task are, and which pipes it has just made.
 */
#ifndef STARTRACE_FD_H
#define STARTRACE_FD_H

static __always_inline struct file *fd_file(struct fdtable *fdt, __u32 fd)
{
	struct file **table = READ(struct fdtable, fdt, fd);

	return pointer_at(table + fd);
}

static __always_inline void describe_inode(struct inode *inode, struct event_fd *out)
{
	unsigned short mode = READ(struct inode, inode, i_mode) & S_IFMT;
	__u32 rdev;

	out->inode = READ(struct inode, inode, i_ino);
	out->kind = FD_OTHER;
	out->rdev = 0;
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
}

/* Describes descriptor `fd` of a table. */
__noinline int describe_fd(__u64 table, __u32 fd, struct event_fd *out)
{
	struct file *file = fd_file((void *)table, fd);

	if (!out)
		return 0;
	if (!file || fd >= READ(struct fdtable, (void *)table, max_fds)) {
		out->inode = 0;
		out->rdev = 0;
		out->kind = FD_CLOSED;
		return 0;
	}
	describe_inode(READ(struct file, file, f_inode), out);
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

#endif
