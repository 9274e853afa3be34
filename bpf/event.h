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
	EVENT_WAIT = 8,
	EVENT_MARK = 9,
	EVENT_IMPORT = 10,
	EVENT_FILE = 11,
	EVENT_FILES = 12,
	EVENT_SAMPLE = 13,
	EVENT_CONNECT = 14,
	EVENT_SIGNAL = 15,
};

/* What a task that is off its CPU waits for. */
enum wait_kind {
	WAIT_CPU = 0,                 /* it could run: only its turn */
	WAIT_CHILD = 1,
	WAIT_VFORK = 2,
	WAIT_DISK = 3,
	WAIT_PAGE_FAULT = 4,
	WAIT_PIPE = 5,
	WAIT_FUTEX = 6,
	WAIT_LOCK = 7,                /* of a file */
	WAIT_SLEEP = 8,
	WAIT_POLL = 9,                /* on several things, or on what has no kind of its own */
	WAIT_NETWORK = 10,
	WAIT_DNS = 11,
	WAIT_UNIX_SOCKET = 12,
	WAIT_TTY = 13,
	WAIT_STOPPED = 14,            /* job control, ptrace */
	WAIT_THROTTLED = 15,          /* the cgroup's CPU quota */
	WAIT_MEMORY = 16,             /* reclaim */
	WAIT_RANDOM = 17,
	WAIT_DEVICE = 18,
	WAIT_OTHER = 19,              /* told singly however short, with its system call */
	WAIT_KINDS = 20,
};

/* In whose context a task was woken. */
enum waker_kind {
	WAKER_NONE = 0,               /* not seen */
	WAKER_TASK = 1,
	WAKER_KERNEL = 2,             /* a thread of the kernel */
	WAKER_HARDIRQ = 3,            /* a timer or a device: whoever was current has no part in it */
	WAKER_SOFTIRQ = 4,
};

/* A moment in the life of a task, told by itself. */
enum mark_kind {
	MARK_SUMS = 1,                /* nothing but the sums: it has been silent for long */
	MARK_EXEC = 2,                /* the image before ends here */
	MARK_END = 3,                 /* the task ends */
	MARK_LD_STATE = 4,            /* ld.so tells debuggers that its list of libraries changes */
	MARK_LIBC_START = 5,          /* __libc_start_main */
	MARK_LISTEN = 6,              /* a socket listens */
	MARK_ACCEPT_WAIT = 7,         /* it waits for clients: in accept, or in poll and the like */
	MARK_ACCEPTED = 8,            /* it has a client */
	MARK_ANSWER = 9,              /* it wrote to a client that it accepted */
	MARK_NOTIFY = 10,             /* a datagram to a unix socket; text: its beginning */
	MARK_NAME = 11,               /* it renamed itself; text: the new name */
	MARK_OUTPUT = 12,             /* it writes to standard output or error; text: the beginning */
	MARK_ENTRY = 13,              /* the first instruction of the program itself */
	MARK_THREAD_NAME = 14,        /* a thread that is not the first has a new name; value: its number */
};

/* What ld.so tells debuggers of its list of libraries (`r_state` of <link.h>), and one bit more. */
enum ld_state {
	LD_UNKNOWN = 0,
	LD_CONSISTENT = 1,
	LD_ADDING = 2,
	LD_DELETING = 3,
	LD_LIBC_FOLLOWS = 1 << 8,     /* its libc is probed too */
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
	FACT_FOREGROUND = 1 << 13,    /* in the foreground group of its terminal */
	FACT_NO_SCRATCH = 1 << 14,    /* the strings could not be carried */
	FACT_PATH_UNREADABLE = 1 << 15,
	FACT_ENTRY_IS_MM_ALLOC = 1 << 16, /* entry_ns is the address space's allocation */
	FACT_NEW_PID_NS = 1 << 17,
	FACT_ROOT = 1 << 18,          /* the command that the recording starts with */
	FACT_NULL_ON_PIPE_FD = 1 << 19, /* /dev/null has taken the first fresh pipe's number */
	FACT_PIPE_FD_KNOWN = 1 << 20, /* that was looked at */
	FACT_WRITTEN_KNOWN = 1 << 21, /* written was read */
	FACT_IOWAIT = 1 << 22,
	FACT_UNINTERRUPTIBLE = 1 << 23,
	FACT_SIGNAL = 1 << 24,        /* a signal is pending: that, or the end, woke it */
	FACT_PATH_CUT = 1 << 25,
	FACT_SOCK = 1 << 26,          /* sock was read */
	FACT_INFERRED = 1 << 27,      /* seen later than it happened */
	FACT_WAKER_EXACT = 1 << 28,   /* waker_kind was read from the CPU's count, not concluded */
	FACT_FOREGROUND_KNOWN = 1 << 29, /* it has a terminal, whose foreground group was read */
	FACT_GIVEN_UP = 1 << 30,      /* of a connection: the program closed it before there was an answer */
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
	FD_FOLDER = 8,                /* told of waits within a walk along a path only */
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
	__u64 waited_ns;              /* from entry on, the creator waited so long for a CPU */
	__u64 rss_bytes;              /* of the creator, whose page tables were copied; 0: shared, or not known */
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
	__u32 group;                  /* process group of the creator */
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
	__u32 within_len;             /* the image within its file system, likewise; 0: the task has the tracer's root */
	__u32 argv_len;
	__u32 sig_ignored;
	__u32 group;                  /* process group */
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
	__u32 group;
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

/*
 * How a task spent the time between two records of its own. Exact: running, runnable and blocked add up
 * to until - since. Waits that are told in a record of their own are not in here.
 */
struct event_spent {
	__u64 since_ns;
	__u64 until_ns;
	__u64 running_ns;
	__u64 runnable_ns;
	__u64 blocked_ns[WAIT_KINDS];
};

struct event_sock {
	__u8 local[16];               /* IPv4 in the first four */
	__u8 peer[16];
	__u16 family;
	__u16 type;
	__u16 local_port;             /* host's byte order */
	__u16 peer_port;
	__u32 state;
	__u32 peer_pid;               /* of a unix socket: who called listen or connect at the other end */
};

/*
 * A task is back on a CPU after some time off it; written when it is back. Followed by a path: components from the leaf
 * up, each ending in NUL; of a unix socket its name, as it was bound or asked for.
 */
struct event_wait {
	struct event_head head;
	struct event_spent spent;     /* up to off_ns */
	__u64 off_ns;                 /* left the CPU */
	__u64 wake_ns;                /* could run again; 0: could all the time, or not seen */
	__u64 args[3];                /* of the system call */
	__u64 timeout_ns;             /* asked for: of a sleep, poll, select, epoll_wait, futex; what is left until a set time */
	__u64 inode;                  /* of the descriptor below, or of where a walk along a path has come to */
	__s32 nr;                     /* system call; -1: none */
	__u32 kind;
	__u32 facts;
	__u32 members;                /* of poll and select: so many descriptors were looked at; `fd` is one of them */
	__u32 fd;                     /* args[0], or the first poll entry, or the first of an epoll set that is ready */
	__u32 fd_kind;
	__u32 waker_kind;
	__u32 waker_pid;
	__u32 waker_tid;
	__u32 rival_pid;              /* gave the CPU up for it */
	__u32 path_len;
	__u32 reserved;
	__u64 rival_ns;               /* ... and had had it for so long; 0: not known */
	struct event_sock sock;
	char waker_comm[COMM_LEN];
	char rival_comm[COMM_LEN];
};

/* What a task used so far; the last two are its process's. */
struct event_usage {
	__u64 user_ns;
	__u64 system_ns;
	__u64 minor_faults;
	__u64 major_faults;
	__u64 voluntary;              /* switches */
	__u64 involuntary;
	__u64 read_bytes;             /* from storage */
	__u64 rss_bytes;
	__u32 threads;
	__u32 reserved;
};

/* A moment. Followed by text. */
struct event_mark {
	struct event_head head;
	struct event_spent spent;     /* up to now */
	struct event_usage usage;
	__u64 value;                  /* MARK_LD_STATE: enum ld_state; MARK_LISTEN: backlog; MARK_THREAD_NAME: tid; MARK_END: 1
				       * where all of the process is to end */
	__u32 mark;
	__u32 facts;
	__u32 text_len;
	__u32 fd;
	struct event_sock sock;
};

#define MODULE_CAP 112

enum import_step {
	IMPORT_BEGIN = 1,             /* head.time_ns: an import begins */
	IMPORT_END = 2,               /* ... or ends */
	IMPORT_WHOLE = 3,             /* it began at since_ns and ends now */
};

enum import_fact {
	IMPORT_FOUND = 1 << 0,        /* the module is there now */
	IMPORT_NAME_CUT = 1 << 1,
	IMPORT_SHELL = 1 << 2,        /* no import: a shell reads a file of commands, which it opens next */
};

/* A step of an import of a language runtime. */
struct event_import {
	struct event_head head;
	__u64 since_ns;
	__u64 live_ns;                /* since when all imports of the file are told; 0: not yet */
	__u32 step;
	__u32 facts;
	__u32 dots;                   /* of a relative import: how many levels up */
	__u32 name_len;
	char name[MODULE_CAP];        /* as the runtime has it; not to be trusted */
};

enum file_op {
	FILE_OPEN = 1,
	FILE_LOOK = 2,                /* stat, access and the like: is it there? */
};

enum file_fact {
	FILE_FOLDER = 1 << 0,         /* what was opened is one */
	FILE_PATH_CUT = 1 << 1,
	FILE_REGULAR = 1 << 2,
};

/* A call that names a file has returned. Followed by the path as it was given, with its NUL. */
struct event_file {
	struct event_head head;
	__u64 since_ns;
	__u64 bytes;                  /* size of what was opened */
	__s32 result;                 /* as the call returns it: a negative errno, or a descriptor */
	__u32 op;
	__u32 facts;
	__u32 path_len;
};

/* Such calls of a task that are not told singly, because its process makes too many. */
struct event_files {
	struct event_head head;
	__u64 since_ns;
	__u64 spent_ns;
	__u32 opened;
	__u32 open_failed;
	__u32 found;
	__u32 missed;
};

/* An attempt to connect a stream socket is over. Followed by the name of a unix socket, as it was given. */
struct event_connect {
	struct event_head head;       /* of the task that began it */
	__u64 since_ns;
	__s32 error;                  /* positive errno; 0: it is connected, or what was wrong is not known */
	__u32 facts;
	__u32 failed;                 /* 1: it is not connected */
	__u32 path_len;
	struct event_sock sock;
};

/* A task was on its CPU. Followed by return addresses, the kernel's and then the program's, leaf first. */
struct event_sample {
	struct event_head head;
	__u32 kernel_len;             /* bytes */
	__u32 user_len;
};

/* A task sent a signal to a process that does not handle it: where the process ends by it, that is who did it. */
struct event_signal {
	struct event_head head;       /* of the receiver */
	__u64 sender_birth_ns;
	__u32 sender_pid;
	__u32 signal;
	char comm[COMM_LEN];          /* the sender's */
};

/* One process found by the seeding iterator (read from the iterator, not from the ring). */
struct seed {
	__u64 birth_ns;
	__u32 pid;
	__u32 fresh;                  /* 1: marked by this pass */
};

/* Is the program on wake-ups attached? Unless it is off, that on switches looks at them. */
enum waking_hook {
	WAKING_ON = 0,
	WAKING_OFF = 1,               /* no start is under way */
	WAKING_WANTED = 2,            /* one has begun meanwhile */
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
