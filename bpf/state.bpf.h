/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs remember, how they are configured, and how records leave.
 */
#ifndef STARTRACE_STATE_H
#define STARTRACE_STATE_H

/* ---- configuration, fixed before loading ---- */

const volatile bool trace_all = false;      /* every process, not only marked ones */
const volatile __u32 spawner_tgid = 0;      /* children of this process are followed; 0: none */
const volatile bool cgroup_v1 = false;      /* where the v2 path is the root, name the v1 cpu controller's */
const volatile __u32 ring_bytes = 4 << 20;
const volatile bool link_probes = false;    /* ld.so and libc are probed */
const volatile bool watching = false;       /* account for the time of starts (levels above lifecycle) */
const volatile bool preemptible = false;    /* tracepoints call their programs with preemption on: stay() */
const volatile bool waker_exact = false;    /* the CPU's count of nested interrupts can be read */
const volatile bool faults_told = false;    /* page faults are looked at */
const volatile bool output_all = false;     /* tell every write to standard output, not the first only */
const volatile __u32 own_root_mount = 0;    /* the tracer's root: the number of its mount; 0: not known ... */
const volatile __u64 own_root_inode = 0;    /* ... and its inode */
const volatile __u32 refuse_every = 0;      /* tests: of so many new states one is refused; 0: none */

/* ---- configuration that changes while running ---- */

bool seeding = false;                       /* running processes are being marked */
__u64 seeding_since_ns = 0;                 /* who was born since then was marked at birth */
__u64 settled_newest = 0;                   /* who was born later is not in `settled` */
bool wake_sent = false;                     /* the consumer has been woken and has not drained yet */
struct lost lost = {};
__u64 own_root_at[2] = {};                  /* the tracer's root, once it was met: vfsmount and dentry, which it holds */

/*
 * Forces every record type into BTF, from which the Rust types are generated.
 */
struct wire_types {
	struct event_fork fork;
	struct event_run run;
	struct event_exec exec;
	struct event_exec_fail exec_fail;
	struct event_fork_fail fork_fail;
	struct event_exit exit;
	struct event_cgroup cgroup;
	struct event_wait wait;
	struct event_mark mark;
	struct event_import import;
	struct event_file file;
	struct event_files files;
	struct event_sample sample;
	struct event_connect connect;
	struct event_signal signal;
	struct seed seed;
	enum event_kind kind;
	enum fact fact;
	enum fd_kind fd;
	enum wait_kind wait_kind;
	enum waker_kind waker;
	enum mark_kind mark_kind;
	enum ld_state ld_state;
	enum import_step import_step;
	enum import_fact import_fact;
	enum file_op file_op;
	enum file_fact file_fact;
};
const volatile struct wire_types wire_types = {};

/* ---- state ---- */

#define TASK_TRACKED (1 << 0)
#define TASK_FRESH (1 << 1)                 /* created, not yet on a CPU */
#define TASK_EXECED (1 << 2)
#define TASK_FORK_MM (1 << 3)               /* fork_entry_ns is the address space's allocation */
#define TASK_EXEC_MM (1 << 4)
#define TASK_WATCHED (1 << 5)               /* in its start: its time is accounted for */
#define TASK_VFORKING (1 << 6)              /* its last child borrows its memory */
/* Of a process, kept on its leader: */
#define TASK_SERVES (1 << 7)                /* has waited for clients */
#define TASK_ACCEPTED (1 << 8)
#define TASK_ANSWERED (1 << 9)
#define TASK_HAS_WRITTEN (1 << 10)

/* One per followed task (thread). It lies on the task itself and goes with it. */
struct task_state {
	__u64 fork_entry_ns;
	__u64 fork_waited_ns;               /* then: waited_ever() */
	__u64 exec_entry_ns;
	__u64 prepare_ns;
	__u64 wakeup_ns;
	__u64 exec_path;                    /* user pointer, between entry and exit of exec */
	__u64 peer_ns;
	__u32 peer_pid;
	__u32 flags;
	__u32 first_pipe_fd;                /* the creator's first fresh pipe, at the fork; 0: none */
	__u32 listen_port;                  /* of a process: its last listening socket's port ... */
	__u64 listener;                     /* ... and file */
	__u64 looked_ns;                    /* its descriptors were looked through for such a socket ... */
	__u32 looked_fd;                    /* ... when this was the next to be given ... */
	__u32 look_pause_us;                /* ... and are so soon again, if it still is */
	__u64 may_listen;                   /* those that may come to listen, as of then: a byte each ... */
	__u64 may_listen_count;             /* ... of so many, of which the bytes are the last */
	__u64 entry;                        /* of a static image: where it begins, until it does */
	__u64 fault;                        /* where its last page fault was */
	/* Of a watched task: how it spent the time since its last record (see task.bpf.h). */
	__u64 since_ns;                     /* that record; 0: it has not run yet */
	__u64 on_ns;                        /* on a CPU since then; 0: it is off */
	__u64 off_ns;
	__u64 running_ns;
	__u64 runnable_ns;
	__u64 blocked_ns[WAIT_KINDS];
	/* What it waits for. */
	__u64 args[3];
	__u64 timeout_ns;
	__s32 nr;
	__u32 kind;
	__u32 facts;
	__u32 fd;
	/* Who woke it, written by the waker. */
	__u64 wake_ns;
	__u32 waker_kind;
	__u32 waker_pid;
	__u32 waker_tid;
	__u32 link;                         /* what ld.so and libc have told of the image: link.bpf.h */
	char waker_comm[COMM_LEN];
};

/* What is kept of a task whose state was refused. */
struct refused_state {
	__u64 wakeup_ns;
	__u32 flags;
	__u32 first_pipe_fd;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_state);
} tasks SEC(".maps");

/*
 * The kernel refuses to make a state while a preempted program is at it on the same CPU. What would have
 * been kept there waits here, under refused_key(), until the task itself comes by again and takes it over.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct refused_state);
} refused SEC(".maps");

__u64 refused_live = 0;                     /* entries in there: at most times none, and nobody looks */
__u64 refusals = 0;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} ring SEC(".maps");

/* Processes to mark while seeding, with their descendants: tgid. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u8);
} seed_roots SEC(".maps");

/* Processes whose start is finished, by birth; see is_settled(). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u8);
} settled SEC(".maps");

/* Who sent last through a connection within this machine: see sender_note(). */
struct sender {
	__u64 time_ns;
	__u32 pid;
	__u32 tid;
	char comm[COMM_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct sender);
} senders SEC(".maps");

/* Cgroups whose name has been written. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u8);
} named_cgroups SEC(".maps");

__u64 named_last = ~0ULL;                   /* the last of them that was met: cgroup_key() */

/*
 * Where a record of variable length is put together. Not one per CPU: a program that is preempted
 * would find its buffer overwritten. A buffer is taken by compare-and-swap instead.
 */
#define SCRATCH_CAP (1 << 16)
#define SCRATCH_LAST (SCRATCH_CAP - ARGV_CAP - PATH_CAP)   /* nothing begins behind it */
#define SCRATCH_TRIES 16

struct scratch {
	__u32 busy;
	/*
	 * Bytes filled. It lies here and not on the stack, so that the verifier takes it for unknown
	 * at every use, checks it there, and does not follow each possible length on its own.
	 */
	__u32 at;
	__u8 data[SCRATCH_CAP];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);            /* set to the number of CPUs and some before loading */
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

const volatile __u32 scratch_count = 64;

/*
 * Zero, but the verifier does not know it. Before Linux 6.7 it looks at a callback of bpf_loop() once only, as if
 * what holds before the first round held in all of them, and leaves out what that makes unreachable: what a callback
 * changes and reads again in a later round has to begin unknown.
 */
__u64 some_zero;

#define NO_SCRATCH (~0U)

struct scratch_search {
	__u32 at;
	__u32 found;
};

static long try_scratch(__u32 i, void *ctx)
{
	struct scratch_search *w = ctx;
	__u32 at = (w->at + i) % scratch_count;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &at);

	if (!s || __sync_val_compare_and_swap(&s->busy, 0, 1) != 0)
		return 0;
	w->found = at;
	return 1;
}

/*
 * Takes a free buffer and returns its number. A function of its own, which returns a number: else the
 * verifier follows the rest of each program once for every try.
 */
__noinline __u32 scratch_find(void)
{
	struct scratch_search w = { .at = bpf_get_smp_processor_id(), .found = NO_SCRATCH };
	__u32 own = w.at;
	struct scratch *s = bpf_map_lookup_elem(&scratches, &own);

	/* Nearly always free. */
	if (s && __sync_val_compare_and_swap(&s->busy, 0, 1) == 0)
		return own;
	bpf_loop(SCRATCH_TRIES, try_scratch, &w, 0);
	if (w.found == NO_SCRATCH)
		__sync_fetch_and_add(&lost.scratch, 1);
	return w.found;
}

/* A free buffer, filled with `size` bytes that the caller will write. */
static __always_inline struct scratch *scratch_take(__u32 size)
{
	__u32 at = scratch_find();
	struct scratch *s = bpf_map_lookup_elem(&scratches, &at);

	if (s)
		s->at = size;
	return s;
}

static __always_inline void scratch_give(struct scratch *s)
{
	/* An exchange, not a store: nothing that was read from the buffer may move behind it. */
	__sync_lock_test_and_set(&s->busy, 0);
}

/*
 * Between two checks of one variable: else the compiler makes one of them, on a copy, and kernels before
 * 6.16 or so do not see what that says of the variable itself.
 */
#define barrier_var(var) asm volatile("" : "+r"(var))

/* ---- staying on the CPU ---- */

extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

/*
 * Since 7.0 a tracepoint's programs can be preempted. The switch would count into the very sums that a program is about to
 * tell, as of a time that it read before; and another task that comes to the same program on that CPU meanwhile
 * would be passed over (lost.recursion_misses). Where interrupts are off, as in the scheduler and where signals are sent, it
 * can not happen. Whatever is called in between must not be able to sleep, which the verifier can tell of global
 * functions since 6.15.
 */
static __always_inline void stay(void)
{
	if (preemptible && bpf_ksym_exists(bpf_preempt_disable))
		bpf_preempt_disable();
}

static __always_inline void stay_no_more(void)
{
	if (preemptible && bpf_ksym_exists(bpf_preempt_disable))
		bpf_preempt_enable();
}

/* As BPF_PROG(), and stays on its CPU from the first instruction to the last. */
#define BPF_PROG_THAT_STAYS(name, args...)                                                         \
	name(unsigned long long *ctx);                                                             \
	static __always_inline int name##_itself(unsigned long long *ctx, ##args);                 \
	int name(unsigned long long *ctx)                                                          \
	{                                                                                          \
		_Pragma("GCC diagnostic push")                                                     \
		_Pragma("GCC diagnostic ignored \"-Wint-conversion\"")                             \
		stay();                                                                            \
		name##_itself(___bpf_ctx_cast(args));                                              \
		_Pragma("GCC diagnostic pop")                                                      \
		stay_no_more();                                                                    \
		return 0;                                                                          \
	}                                                                                          \
	static __always_inline int name##_itself(unsigned long long *ctx, ##args)

/* ---- reading tasks ---- */

extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym __weak;

/*
 * Numbers of the kernel's types, which the loader fills in by these names: libbpf, which could, sees only
 * the part of the kernel's type information that src/probe/btf.rs copies out for it.
 */
#define READ_TYPES(X)                                                                              \
	X(cgroup) X(cgroup_subsys_state) X(css_set) X(dentry) X(fdtable) X(file) X(files_struct)   \
	X(fs_struct) X(hlist_node) X(inode) X(kernfs_node) X(linux_binprm) X(mm_struct) X(mount)   \
	X(pid)                                                                                     \
	X(signal_struct)                                                                           \
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

/* ---- leaving ---- */

/*
 * Records do not wake the consumer, who comes by every 20 ms: a wake-up costs more than the event.
 * One wake-up is forced when the ring is a quarter full. Whoever calls this has to send a record with the answer:
 * until the consumer has emptied the ring, nobody else forces another.
 */
static __always_inline __u64 wake_flags(void)
{
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) < ring_bytes / 4 || wake_sent)
		return BPF_RB_NO_WAKEUP;
	wake_sent = true;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline void count_lost_event(__u64 bytes)
{
	__sync_fetch_and_add(&lost.events, 1);
	__sync_fetch_and_add(&lost.bytes, bytes);
}

static __always_inline void head_fill(struct event_head *head, __u32 kind, __u32 size,
				      struct task_struct *task, __u64 now)
{
	task = plain(task);
	head->time_ns = now;
	head->birth_ns = task->group_leader->start_boottime;
	head->size = size;
	head->kind = kind;
	head->pid = task->tgid;
	head->tid = task->pid;
}

/* ---- who is followed ---- */

/*
 * A task without any storage is told by one load: what a stranger's switch and wake-up cost is mostly
 * this look-up.
 */
static __always_inline struct task_state *state_of(struct task_struct *task)
{
	if (bpf_core_field_exists(task->bpf_storage) && !plain(task)->bpf_storage)
		return NULL;
	return bpf_task_storage_get(&tasks, task, NULL, 0);
}

static __always_inline struct task_state *state_make(struct task_struct *task)
{
	if (refuse_every && __sync_fetch_and_add(&refusals, 1) % refuse_every == refuse_every - 1)
		return NULL;
	return bpf_task_storage_get(&tasks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/* A task for as long as it lives, but for the odds of one in four seconds of the same id's reuse. */
static __always_inline __u64 refused_key(struct task_struct *task)
{
	task = plain(task);
	return (__u64)task->pid << 32 | (__u32)task->start_boottime;
}

/* Keeps for later what a state that was refused would have held. */
static __always_inline void refuse(struct task_struct *task, struct refused_state *what)
{
	__u64 key = refused_key(task);

	if (bpf_map_update_elem(&refused, &key, what, BPF_NOEXIST))
		__sync_fetch_and_add(&lost.storage, 1);
	else
		__sync_fetch_and_add(&refused_live, 1);
}

/* What was kept of a task that has no state; for another task than the current one. */
static __always_inline struct refused_state *refused_of(struct task_struct *task)
{
	__u64 key;

	if (!refused_live)
		return NULL;
	key = refused_key(task);
	return bpf_map_lookup_elem(&refused, &key);
}

/* The current task takes over what was kept of it, if there is something. */
__noinline int refused_restore(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct refused_state *kept = refused_of(task);
	__u64 key = refused_key(task);
	struct task_state *st;

	if (!kept)
		return 0;
	st = bpf_task_storage_get(&tasks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!st)
		return 0;
	st->flags = kept->flags;
	st->wakeup_ns = kept->wakeup_ns;
	st->first_pipe_fd = kept->first_pipe_fd;
	bpf_map_delete_elem(&refused, &key);
	__sync_fetch_and_sub(&refused_live, 1);
	return 0;
}

/* Refused to the last: its end is not told. */
static __always_inline void refused_forget(struct task_struct *task)
{
	__u64 key;

	if (!refused_live)
		return;
	key = refused_key(task);
	if (bpf_map_delete_elem(&refused, &key))
		return;
	__sync_fetch_and_sub(&refused_live, 1);
	__sync_fetch_and_add(&lost.storage, 1);
}

/* State of the current task. */
static __always_inline struct task_state *state_of_current(struct task_struct *task)
{
	if (refused_live)
		refused_restore();
	return state_of(task);
}

/* The state that stands for the process of the current task, whose own this is (or NULL). */
static __always_inline struct task_state *leader_of(struct task_struct *task, struct task_state *own)
{
	if (plain(task)->pid == plain(task)->tgid)
		return own;
	return bpf_task_storage_get(&tasks, task->group_leader, NULL, 0);
}

/* The process whose children are the roots of the recording: the tracer that starts the command. */
static __always_inline bool is_spawner(struct task_struct *task)
{
	return spawner_tgid && (__u32)plain(task)->tgid == spawner_tgid;
}

/* State of the current task, which may fork or exec: made on demand where everything is followed. */
static __always_inline struct task_state *state_of_caller(struct task_struct *task)
{
	struct task_state *st = state_of_current(task);

	if (!st && (trace_all || is_spawner(task)))
		st = state_make(task);
	return st;
}

static __always_inline bool is_tracked(struct task_state *st)
{
	return trace_all || (st && (st->flags & TASK_TRACKED));
}

struct ancestors_walk {
	struct task_struct *at;
	__u32 found;
};

static long look_at_ancestor(__u32 i, void *ctx)
{
	struct ancestors_walk *w = ctx;
	__u32 tgid = READ(struct task_struct, w->at, tgid);

	if (bpf_map_lookup_elem(&seed_roots, &tgid)) {
		w->found = 1;
		return 1;
	}
	if (tgid <= 1)
		return 1;
	w->at = READ(struct task_struct, w->at, real_parent);
	return 0;
}

#define ANCESTORS_STEPS 64

/* Is the task, or one of its ancestors, one of the processes to seed? */
static __always_inline bool descends_from_root(struct task_struct *task)
{
	struct ancestors_walk w = { .at = plain(task)->group_leader };

	bpf_loop(ANCESTORS_STEPS, look_at_ancestor, &w, 0);
	return w.found;
}

#endif
