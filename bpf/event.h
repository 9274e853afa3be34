/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The wire format: what the BPF programs write into the ring and user space decodes. This is its
 * only definition; the Rust types are generated from it. Fixed-width integers, no padding, every byte
 * of a record written. Times are CLOCK_BOOTTIME nanoseconds; 0 means not observed.
 */
#ifndef STARTRACE_EVENT_H
#define STARTRACE_EVENT_H

#define COMM_LEN 16
#define PATH_CAP 4096
#define ARGV_CAP 32768

enum event_kind {
	EVENT_FORK = 1,
	EVENT_RUN = 2,
	EVENT_EXEC = 3,
	EVENT_EXEC_FAIL = 4,
	EVENT_FORK_FAIL = 5,
	EVENT_EXIT = 6,
	EVENT_CGROUP = 7,
};

/* Bits of `facts`. */
enum fact {
	FACT_SESSION_LEADER = 1 << 0,
	FACT_HAS_TTY = 1 << 1,
	FACT_KERNEL_PARENT = 1 << 2,
	FACT_COMPAT_CALL = 1 << 3,    /* 32-bit system call: nr counts in another table */
	FACT_STACK_KNOWN = 1 << 4,    /* stack_delta was read */
	FACT_PIPES_KNOWN = 1 << 5,    /* fresh_pipes was read */
	FACT_PIPES_CLOEXEC = 1 << 6,
	FACT_FDS_KNOWN = 1 << 7,      /* fds was read */
	FACT_EXE_DELETED = 1 << 8,
	FACT_EXE_CUT = 1 << 9,        /* the path is longer than the walk */
	FACT_CWD_CUT = 1 << 10,
	FACT_ARGV_UNREADABLE = 1 << 11,
	FACT_CGROUP_V1 = 1 << 12,     /* cgroup_id is of the v1 cpu controller's hierarchy */
	FACT_GROUP_EXIT = 1 << 13,
	FACT_NO_SCRATCH = 1 << 14,    /* the strings could not be carried */
	FACT_PATH_UNREADABLE = 1 << 15,
	FACT_ENTRY_IS_MM_ALLOC = 1 << 16, /* entry_ns is the address space's allocation */
	FACT_NEW_PID_NS = 1 << 17,
	FACT_ROOT = 1 << 18,          /* the command that the recording starts with */
	FACT_NULL_ON_PIPE_FD = 1 << 19, /* /dev/null has taken the first fresh pipe's number */
	FACT_PIPE_FD_KNOWN = 1 << 20, /* that was looked at */
	FACT_WRITTEN_KNOWN = 1 << 21, /* written was read */
	FACT_BEHIND = 1 << 22,        /* its group is not its terminal's foreground one */
};

enum fd_kind {
	FD_UNKNOWN = 0,
	FD_CLOSED = 1,
	FD_NULL = 2,
	FD_PIPE = 3,
	FD_TTY = 4,
	FD_FILE = 5,
	FD_SOCKET = 6,
	FD_OTHER = 7,
};

struct event_head {
	__u64 time_ns;
	__u64 birth_ns;               /* start_boottime of the process: with pid its identity */
	__u32 size;                   /* of the whole record */
	__u32 kind;
	__u32 pid;                    /* tgid */
	__u32 tid;
};

struct event_fd {
	__u64 inode;
	__u32 kind;
	__u32 rdev;
};

/* A process was created; `head` is the child's. Written in the creator's context. */
struct event_fork {
	struct event_head head;
	__u64 entry_ns;
	__u64 clone_flags;
	__s64 stack_delta;
	__u64 blocked;
	__u64 parent_birth_ns;        /* the creator */
	__u64 real_parent_birth_ns;   /* the kernel's parent: another with CLONE_PARENT */
	__u64 cgroup_id;
	__u64 peer_ns;                /* the creator last read a unix socket then ... */
	__u32 peer_pid;               /* ... whose other end belongs to this process */
	__u32 parent_pid;
	__u32 parent_tid;
	__u32 real_parent_pid;
	__s32 nr;                     /* system call */
	__u32 exit_signal;
	__u32 sig_ignored;            /* bit 0 is signal 1 */
	__u32 sig_handled;
	__u32 parent_threads;
	__u32 uid;
	__u32 gid;
	__u32 ns_pid;
	__u32 facts;
	__u32 fresh_pipes;
	__u32 first_pipe_fd;          /* lowest end of those */
	__u32 reserved;
	struct event_fd fds[3];
	char comm[COMM_LEN];
};

/* First time on a CPU. */
struct event_run {
	struct event_head head;
	__u64 wakeup_ns;              /* became runnable */
	__u64 run_ns;
};

/* A new image is in place. Followed by the strings, in the order of their lengths. */
struct event_exec {
	struct event_head head;
	__u64 entry_ns;
	__u64 prepare_ns;             /* point of no return */
	__u64 inode;
	__u64 cgroup_id;
	__u64 argv_true;              /* bytes of the argument area */
	__u32 dev;                    /* kernel's dev_t: major << 20 | minor */
	__u32 old_tid;                /* differs from pid for an exec by another thread */
	__u32 argc;
	__u32 uid;
	__u32 gid;
	__u32 ns_pid;
	__u32 facts;
	__u32 filename_len;           /* the path asked for */
	__u32 interp_len;             /* 0 unless a script or binfmt_misc */
	__u32 exe_len;                /* components from the leaf up, each ending in NUL */
	__u32 cwd_len;                /* likewise */
	__u32 argv_len;
	__u32 sig_ignored;
	__u32 reserved;
	struct event_fd fds[4];
	char comm[COMM_LEN];
};

/* An exec failed. Followed by the path. */
struct event_exec_fail {
	struct event_head head;
	__u64 entry_ns;
	__s32 error;                  /* positive errno; 0: failed, not known how */
	__u32 path_len;
	__u32 facts;
	__u32 reserved;
};

/* A fork failed; `head` is the caller's. */
struct event_fork_fail {
	struct event_head head;
	__u64 entry_ns;
	__s32 error;
	__s32 nr;
};

/* The last thread of a process has ended. */
struct event_exit {
	struct event_head head;
	__u64 written;                /* bytes given to write calls */
	__u32 exit_code;              /* as wait(2) gives it */
	__u32 facts;
	__u32 sig_ignored;
	__u32 uid;
	__u32 gid;
	__u32 reserved;
	struct event_fd fds[3];
	char comm[COMM_LEN];
};

/* The name of a cgroup, once per cgroup. Followed by the components from the leaf up. */
struct event_cgroup {
	struct event_head head;
	__u64 cgroup_id;
	__u32 facts;
	__u32 path_len;
};

/* One process found by the seeding iterator (read from the iterator, not from the ring). */
struct seed {
	__u64 birth_ns;
	__u32 pid;
	__u32 fresh;                  /* 1: marked by this pass */
};

/* Every way to lose something in the kernel. */
struct lost {
	__u64 events;                 /* ring full */
	__u64 bytes;                  /* of those records */
	__u64 scratch;                /* no scratch buffer was free: strings missing */
	__u64 storage;                /* task storage could not be made */
	__u64 argv;                   /* argument area could not be read */
	__u64 paths;                  /* a path was deeper or longer than the walk */
	__u64 seeds;                  /* a process may have slipped away while seeding */
};

#endif
