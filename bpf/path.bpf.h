/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Paths of the kernel's files, as the process that uses them sees them.
 */
#ifndef STARTRACE_PATH_H
#define STARTRACE_PATH_H

#define PATH_STEPS 64
#define NAME_CAP 256

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

#endif
