/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How the programs are configured and what they remember.
 */
#ifndef STARTRACE_STATE_H
#define STARTRACE_STATE_H

/* ---- configuration, fixed before loading ---- */

const volatile bool trace_all = false;      /* every process, not only marked ones */
const volatile __u32 spawner_tgid = 0;      /* children of this process are followed; 0: none */
const volatile bool cgroup_v1 = false;      /* where the v2 path is the root, name the v1 cpu controller's */
const volatile __u32 ring_bytes = 4 << 20;
const volatile __u32 page_bytes = 4096;
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
enum waking_hook waking_hook = WAKING_ON;
__u64 starts_begun = 0;                     /* and asked to be looked at; see want_waking() */
__u64 waking_wanted_ns = 0;                 /* since when it is WAKING_WANTED, or was last */
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
	enum waking_hook waking_hook;
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
	__u64 watched_ns;                   /* since when it is watched; 0: since its creation */
	/* Of a watched task: how it spent the time since its last record (see task.bpf.h). */
	__u64 since_ns;                     /* that record; 0: it has not run yet */
	__u64 on_ns;                        /* on a CPU since then; 0: it is off */
	__u64 off_ns;
	__u64 waited_ns;                    /* then: waited_ever() */
	__u64 running_ns;
	__u64 runnable_ns;
	__u64 blocked_ns[WAIT_KINDS];
	/* What it waits for. */
	__u64 args[3];
	__u64 timeout_ns;
	__s32 nr;
	__u16 kind;
	__u16 members;                      /* of a set: so many descriptors were looked at */
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

/* Processes whose start is finished, by birth, and when it was; see is_settled(). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u64);
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

#endif
