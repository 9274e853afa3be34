/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Objects of the kernel, read by plain loads where the kernel can check those.
 *
 * Whatever branches a lot in a reader of kernel objects is a global function: the verifier looks at each once and on its
 * own, not at every call in every state of the caller. That made loading ten times faster. Their pointers into the kernel
 * come as numbers (NUMBER()), which is all that a global function may be given.
 */
#ifndef STARTRACE_PLAIN_H
#define STARTRACE_PLAIN_H

extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym __weak;

/*
 * Numbers of the kernel's types, which the loader fills in by these names: libbpf, which could, sees only
 * the part of the kernel's type information that src/probe/btf.rs copies out for it.
 */
#define READ_TYPES(X)                                                                              \
	X(cgroup) X(cgroup_subsys_state) X(css_set) X(dentry) X(fdtable) X(file) X(files_struct)   \
	X(fs_struct) X(hlist_node) X(inode) X(kernfs_node) X(linux_binprm) X(mm_struct) X(mount)   \
	X(nameidata) X(pid) X(signal_struct)                                                       \
	X(sock) X(super_block) X(task_struct) X(tty_struct) X(vfsmount)

#define TYPE_NUMBER(name) __u32 name;
struct type_ids {
	READ_TYPES(TYPE_NUMBER)
};

const volatile struct type_ids type_ids;

#define TYPE_CASE(name) , struct name * : type_ids.name
#define TYPE_ID(type) _Generic((type *)0 READ_TYPES(TYPE_CASE))

/*
 * Kernel objects are read by plain loads where the kernel can check those (bpf_rdonly_cast, since
 * 6.2), by bpf_probe_read_kernel() before: 2 ns against 25. The object is taken by itself first: as part of
 * the read, a field of ours that leads to it would pass for the kernel's.
 */
#define AS(type, object) ((type *)bpf_rdonly_cast((object), TYPE_ID(type)))
#define READ(type, object, field)                                           \
	({                                                                  \
		typeof(((type *)0)->field) value_;                          \
		type *object_ = (void *)(object);                           \
		if (bpf_ksym_exists(bpf_rdonly_cast))                       \
			value_ = AS(type, object_)->field;                  \
		else                                                        \
			value_ = BPF_CORE_READ(object_, field);             \
		value_;                                                     \
	})

/*
 * The same task, for reading only. Where the verifier knows trusted pointers (since 6.2), it looks up
 * at each step from one whether the field may be trusted too, by a linear search of all of the kernel's
 * types, four times: 3 ms a step. What is only read need not be trusted. Costs nothing at run time.
 */
static __always_inline struct task_struct *plain(struct task_struct *task)
{
	if (bpf_ksym_exists(bpf_rdonly_cast))
		return AS(struct task_struct, task);
	return task;
}

/* The pointer that lies at an address of the kernel: read as the first member of a type that has nothing before it. */
static __always_inline void *pointer_at(const void *at)
{
	return READ(struct hlist_node, at, next);
}

/*
 * A pointer to a structure as a number, which is all that a global function may be given. To the verifier the difference
 * of two pointers is one; the other one is NULL. (What pointers to anything else are to it depends on the kernel.)
 */
#define NUMBER(pointer)                                                                            \
	(bpf_ksym_exists(bpf_rdonly_cast)                                                          \
		 ? (__u64)(pointer) - (__u64)bpf_rdonly_cast(NULL, TYPE_ID(struct task_struct))    \
		 : unknown_number((__u64)(pointer)))

/* The same where the verifier knows no such cast: by way of a copy, of which it forgets what it is. */
static __always_inline __u64 unknown_number(__u64 pointer)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

/* How long a task has waited for a CPU so far; 0 where the kernel does not count that. */
static __always_inline __u64 waited_ever(struct task_struct *task)
{
	if (!bpf_core_field_exists(struct sched_info, run_delay))
		return 0;
	return BPF_CORE_READ(task, sched_info.run_delay);
}

#endif
