/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Cgroups, and their names.
 */
#ifndef STARTRACE_CGROUP_H
#define STARTRACE_CGROUP_H

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

#endif
