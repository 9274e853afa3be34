/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who is watched, and what a watched task is about to wait for.
 */
#ifndef STARTRACE_KIND_H
#define STARTRACE_KIND_H

static __always_inline bool is_watched(struct task_state *st)
{
	return st && (st->flags & TASK_WATCHED);
}

/*
 * User space has finished the start of this process: it is watched no longer. Unless it has executed another image since,
 * of which user space did not know when it said so.
 */
static __always_inline bool is_settled(struct task_struct *task, struct task_state *st)
{
	__u64 birth = plain(task)->group_leader->start_boottime;
	__u64 *until;

	/* In a storm of starts every one of them: without the table's cold memory. */
	if (birth > settled_newest)
		return false;
	until = bpf_map_lookup_elem(&settled, &birth);
	if (!until || *until < st->watched_ns)
		return false;
	st->flags &= ~TASK_WATCHED;
	return true;
}

#define WAITS_FOR_CLIENTS (1U << 30)
#define FD_OF_KIND(fd) ((__u64)(fd) << 32)

/* The kind of a wait for a child: what most starts wait for, and nothing more is to be looked at. Else 0. */
static __always_inline __u32 kind_of_child(struct task_state *st)
{
	switch (call_class(st->nr)) {
	case CALL_CHILD:
		return WAIT_CHILD;
	case CALL_FORK:
		return st->flags & TASK_VFORKING ? WAIT_VFORK : WAIT_OTHER;
	default:
		return 0;
	}
}

/* The longest time that the kernel has (KTIME_MAX, 292 years): whoever asks for more waits as long. */
#define LONGEST_NS 0x7fffffffffffffffULL
#define NS_OF_S 1000000000ULL

/*
 * A length of time as programs give it, in nanoseconds: as the kernel takes it, and never less, for what overflowed
 * would be a short time-out that is over. (Negative numbers are large ones here. The kernel refuses them, but another
 * thread may have written one since.)
 */
static __always_inline __u64 length_ns(__u64 sec, __u64 part, __u64 unit)
{
	__u64 ns;

	if (sec > LONGEST_NS / NS_OF_S || part > LONGEST_NS / 1000)
		return LONGEST_NS;
	ns = sec * NS_OF_S + part * unit;
	return ns < LONGEST_NS ? ns : LONGEST_NS;
}

/*
 * When a futex's wait is over, as the call has it: a length, or a moment on the monotonic clock, from which `*began` says what
 * is to be taken. 0: never, or on another clock.
 */
static __always_inline __u64 futex_time_out(struct pt_regs *regs, __s32 nr, __u64 *began)
{
	__u32 op = call_arg(regs, 1);

	if (nr != NR_FUTEX || (op & FUTEX_CLOCK_REALTIME))
		return 0;
	if ((op & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET)
		*began = bpf_ktime_get_ns();
	else if ((op & FUTEX_CMD_MASK) != FUTEX_WAIT)
		return 0;
	return call_arg(regs, 3);
}

/* How long a task waits at most in poll, select, epoll_wait or futex; 0: not at all, for ever, or in another call. */
static __always_inline __u64 time_out(struct pt_regs *regs, __s32 nr)
{
	struct { __u64 sec, part; } length = {};
	__u64 at = 0, unit = 1, began = 0, ns;
	__s32 ms = 0;

	switch (call_class(nr)) {
	case CALL_POLL:
		if (nr == NR_POLL)
			ms = call_arg(regs, 2);
		else
			at = call_arg(regs, 2);
		break;
	case CALL_SELECT:
		at = call_arg(regs, 4);
		unit = nr == NR_SELECT ? 1000 : 1;
		break;
	case CALL_EPOLL:
		if (nr == NR_EPOLL_PWAIT2)
			at = call_arg(regs, 3);
		else
			ms = call_arg(regs, 3);
		break;
	case CALL_FUTEX:
		at = futex_time_out(regs, nr, &began);
		break;
	default:
		return 0;
	}
	if (at)
		bpf_probe_read_user(&length, sizeof(length), (void *)at);
	ns = ms > 0 ? ms * 1000000ULL : length_ns(length.sec, length.part, unit);
	return ns > began ? ns - began : 0;
}

#define UNIX_PATH_MAX 108

/* Where tasks that wait in connect(2) want to. A unix socket has no peer before it is connected. By tid. */
struct wanted {
	__u32 len;
	__u8 name[UNIX_PATH_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct wanted);
} wanted SEC(".maps");

/* Notes the address that the current task has given: it has just been read by the kernel. */
__noinline int note_wanted(__u64 address, __u64 len)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct wanted to = {};

	len = len > 2 ? len - 2 : 0;
	if (len > UNIX_PATH_MAX)
		len = UNIX_PATH_MAX;
	barrier_var(len);
	if (len && len <= UNIX_PATH_MAX && !bpf_probe_read_user(to.name, len, (void *)(address + 2)))
		to.len = len;
	bpf_map_update_elem(&wanted, &tid, &to, BPF_ANY);
	return 0;
}

/* What is left until the time that a sleep is to last to; 0: not known, or nothing. */
static __always_inline __u64 left_until(__u64 clock, __u64 until)
{
	__u64 now;

	if (clock == CLOCK_MONOTONIC)
		now = bpf_ktime_get_ns();
	else if (clock == CLOCK_BOOTTIME)
		now = bpf_ktime_get_boot_ns();
	else
		return 0;
	return until > now ? until - now : 0;
}

/*
 * The kind of any other wait in a system call, with the descriptor in the high half (all ones: none).
 * The caller is the task itself, on its way off the CPU.
 */
__noinline __u64 kind_of_call(struct task_state *st, __u64 table, __u64 listener)
{
	struct set_walk w = { .table = table };
	__u64 none = FD_OF_KIND(0xffffffff);
	struct { __u64 sec, nsec; } length = {};
	__u32 fd, kind;

	if (!st)
		return none | WAIT_OTHER;
	fd = st->args[0];
	switch (call_class(st->nr)) {
	case CALL_FUTEX:
		/* What the lock's word says, instead of an argument that this operation does not have. */
		if (locks_pi(st->nr, st->args[1])) {
			fd = 0;
			bpf_probe_read_user(&fd, sizeof(fd), (void *)st->args[0]);
			st->args[2] = fd & FUTEX_TID_MASK;
		}
		return none | WAIT_FUTEX;
	case CALL_RANDOM:
		return none | WAIT_RANDOM;
	case CALL_NANOSLEEP:
		bpf_probe_read_user(&length, sizeof(length), (void *)st->args[0]);
		st->timeout_ns = length_ns(length.sec, length.nsec, 1);
		return none | WAIT_SLEEP;
	case CALL_CLOCK_NANOSLEEP:
		bpf_probe_read_user(&length, sizeof(length), (void *)st->args[2]);
		st->timeout_ns = length_ns(length.sec, length.nsec, 1);
		if (st->args[1] & TIMER_ABSTIME)
			st->timeout_ns = left_until(st->args[0], st->timeout_ns);
		return none | WAIT_SLEEP;
	case CALL_FLOCK:
		return FD_OF_KIND(fd) | WAIT_LOCK;
	case CALL_FCNTL:
		kind = st->args[1] == F_SETLKW || st->args[1] == F_OFD_SETLKW ? WAIT_LOCK : WAIT_OTHER;
		return FD_OF_KIND(fd) | kind;
	case CALL_CONNECT:
		kind = kind_of_fd(table, fd) & ~KIND_LISTENS;
		if (kind == WAIT_UNIX_SOCKET)
			note_wanted(st->args[1], st->args[2]);
		return FD_OF_KIND(fd) | kind;
	case CALL_FD:
		return FD_OF_KIND(fd) | (kind_of_fd(table, fd) & ~KIND_LISTENS);
	case CALL_ACCEPT:
		kind = kind_of_fd(table, fd);
		return FD_OF_KIND(fd) | (kind & ~KIND_LISTENS) |
		       (kind & KIND_LISTENS ? WAITS_FOR_CLIENTS : 0);
	case CALL_IOCTL:
		kind = kind_of_fd(table, fd) & ~KIND_LISTENS;
		return FD_OF_KIND(fd) | (kind == WAIT_OTHER ? WAIT_DEVICE : kind);
	case CALL_POLL:
		w.array = st->args[0];
		w.n = st->args[1];
		break;
	case CALL_SELECT:
		/* Of the three sets, those to be read and written. */
		w.n = st->args[0] < SELECT_FDS ? st->args[0] : SELECT_FDS;
		w.sets[0] = st->args[1];
		w.sets[1] = st->args[2];
		break;
	case CALL_EPOLL:
		kind = WAIT_POLL;
		if (listener && epoll_has(table, fd, listener))
			kind |= WAITS_FOR_CLIENTS;
		return FD_OF_KIND(fd) | kind;
	default:
		return none | kind_of_walk(walk_of(bpf_get_current_task_btf()));
	}
	if (!w.n)
		return none | WAIT_SLEEP;
	w.members = w.first = w.listens = w.listener = some_zero;
	w.kind = WAIT_POLL + w.members;
	bpf_loop(SET_STEPS, look_at_member, &w, 0);
	st->members = w.members;
	if (!w.members)
		return none | WAIT_POLL;
	kind = w.kind == WAIT_OTHER || w.kind == WAIT_DISK ? WAIT_POLL : w.kind;
	if (w.listens)
		return FD_OF_KIND(w.listener) | kind | WAITS_FOR_CLIENTS;
	return FD_OF_KIND(w.first) | kind;
}

/* The socket on which a task waits for clients: the descriptor's own, or the one that the process is
 * known to listen on. */
__noinline __u64 listening_sock(__u64 table, __u32 fd, __u64 listener)
{
	struct file *file = table ? file_of(table, fd) : NULL;
	struct sock *sk = file ? sock_of(file) : NULL;

	if (!listens(sk)) {
		file = (void *)listener;
		sk = file ? sock_of(file) : NULL;
	}
	return listens(sk) ? (__u64)sk : 0;
}

#endif
