/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a watched task waits for, and the records that say so: kind, object, peer, file of a page.
 */

#define SOFTIRQ_SERVED 0x100

/* ---- who is watched ---- */

static __always_inline bool is_watched(struct task_state *st)
{
	return st && (st->flags & TASK_WATCHED);
}

/* User space has finished the start of this process: it is watched no longer. */
static __always_inline bool is_settled(struct task_struct *task, struct task_state *st)
{
	__u64 birth = plain(task)->group_leader->start_boottime;

	/* In a storm of starts every one of them: without the table's cold memory. */
	if (birth > settled_newest)
		return false;
	if (!bpf_map_lookup_elem(&settled, &birth))
		return false;
	st->flags &= ~TASK_WATCHED;
	return true;
}

/* ---- what a task is about to wait for ---- */

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

/* How long a task waits at most in poll, select or epoll_wait; 0: not at all, for ever, or in another call. */
static __always_inline __u64 time_out(struct pt_regs *regs, __s32 nr)
{
	struct { __u64 sec, part; } length = {};
	__u64 at = 0, unit = 1;
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
	default:
		return 0;
	}
	if (at)
		bpf_probe_read_user(&length, sizeof(length), (void *)at);
	return ms > 0 ? ms * 1000000ULL : length_ns(length.sec, length.part, unit);
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
		/* An absolute time says nothing of the length. */
		if (!(st->args[1] & 1)) {
			bpf_probe_read_user(&length, sizeof(length), (void *)st->args[2]);
			st->timeout_ns = length_ns(length.sec, length.nsec, 1);
		}
		return none | WAIT_SLEEP;
	case CALL_FLOCK:
		return FD_OF_KIND(fd) | WAIT_LOCK;
	case CALL_FCNTL:
		kind = st->args[1] == F_SETLKW || st->args[1] == F_OFD_SETLKW ? WAIT_LOCK : WAIT_OTHER;
		return FD_OF_KIND(fd) | kind;
	case CALL_CONNECT:
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
		return none | WAIT_OTHER;
	}
	if (!w.n)
		return none | WAIT_SLEEP;
	w.members = w.first = w.listens = w.listener = some_zero;
	w.kind = WAIT_POLL + w.members;
	bpf_loop(SET_STEPS, look_at_member, &w, 0);
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

/* ---- records ---- */

/* The sums so far, and from zero again. */
static __always_inline void take_spent(struct task_state *st, struct event_spent *out, __u64 until)
{
	out->since_ns = st->since_ns;
	out->until_ns = until;
	out->running_ns = st->running_ns;
	out->runnable_ns = st->runnable_ns;
	__builtin_memcpy(out->blocked_ns, st->blocked_ns, sizeof(out->blocked_ns));
	st->running_ns = 0;
	st->runnable_ns = 0;
	__builtin_memset(st->blocked_ns, 0, sizeof(st->blocked_ns));
}

static __always_inline __u64 rss_of(struct mm_struct *mm)
{
	struct mm_struct___rss_struct *old = (void *)mm;
	__s64 pages;

	if (!mm)
		return 0;
	/* Files, anonymous, swap entries, shared memory; per CPU since 6.2, where this is the main part. */
	if (bpf_core_field_exists(old->rss_stat.count))
		pages = BPF_CORE_READ(old, rss_stat.count[0].counter) + BPF_CORE_READ(old, rss_stat.count[1].counter) +
			BPF_CORE_READ(old, rss_stat.count[3].counter);
	else
		pages = READ(struct mm_struct, mm, rss_stat[0].count) + READ(struct mm_struct, mm, rss_stat[1].count) +
			READ(struct mm_struct, mm, rss_stat[3].count);
	return pages > 0 ? pages * 4096 : 0;
}

static __always_inline void fill_usage(struct event_usage *out, struct task_struct *task)
{
	task = plain(task);
	out->user_ns = task->utime;
	out->system_ns = task->stime;
	out->minor_faults = task->min_flt;
	out->major_faults = task->maj_flt;
	out->voluntary = task->nvcsw;
	out->involuntary = task->nivcsw;
	out->read_bytes = 0;
	if (bpf_core_field_exists(struct task_io_accounting, read_bytes))
		out->read_bytes = task->ioac.read_bytes;
	out->rss_bytes = rss_of(task->mm);
	out->threads = task->signal->nr_threads;
	out->reserved = 0;
}

#define TEXT_CAP 256

/* What a mark says besides its time. */
struct mark_what {
	__u64 now;
	__u64 value;
	__u64 sock;                   /* struct sock *, or 0 */
	__u64 text;                   /* address of bytes, or 0 */
	__u32 text_len;
	__u32 text_is_kernel;
	__u32 mark;
	__u32 facts;
	__u32 fd;
	__u32 reserved;
};

/* Appends at most TEXT_CAP bytes. */
static __always_inline __u32 fill_text(struct scratch *s, struct mark_what *what)
{
	__u32 at = s->at, len = what->text_len;

	if (!what->text)
		return 0;
	if (len > TEXT_CAP)
		len = TEXT_CAP;
	barrier_var(len);
	if (len > TEXT_CAP || at > SCRATCH_LAST)
		return 0;
	if (what->text_is_kernel ? bpf_probe_read_kernel(s->data + at, len, (void *)what->text)
				 : bpf_probe_read_user(s->data + at, len, (void *)what->text))
		return 0;
	s->at = at + len;
	return len;
}

/* All of a mark but its text. */
static __always_inline void fill_mark(struct event_mark *ev, struct task_state *st, struct mark_what *what,
				      struct task_struct *task, __u64 until)
{
	take_spent(st, &ev->spent, until);
	fill_usage(&ev->usage, task);
	ev->value = what->value;
	ev->mark = what->mark;
	ev->facts = what->facts;
	ev->fd = what->fd;
	ev->text_len = 0;
	if (what->sock) {
		ev->facts |= FACT_SOCK;
		describe_sock(what->sock, &ev->sock);
	} else {
		__builtin_memset(&ev->sock, 0, sizeof(ev->sock));
	}
	st->since_ns = until;
}

/*
 * Writes a mark of the current task, which is watched. It ends the time since the task's last record. Most have no text
 * and are written where they belong, in the ring: a buffer costs more than what the record says.
 */
__noinline int write_mark(struct task_state *st, struct mark_what *what)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct event_mark *ev;
	__u64 now, until;
	struct scratch *s;

	if (!st || !what)
		return 0;
	now = what->now;
	if (is_settled(task, st))
		return 0;
	if (!st->since_ns)
		st->since_ns = now;
	until = !st->on_ns && st->off_ns ? st->off_ns : now;
	if (st->on_ns && now > st->on_ns)
		st->running_ns += now - st->on_ns;
	if (st->on_ns)
		st->on_ns = now;
	if (!what->text) {
		ev = bpf_ringbuf_reserve(&ring, sizeof(*ev), 0);
		if (!ev) {
			count_lost_event(sizeof(*ev));
			return 0;
		}
		fill_mark(ev, st, what, task, until);
		head_fill(&ev->head, EVENT_MARK, sizeof(*ev), task, now);
		bpf_ringbuf_submit(ev, wake_flags());
		return 0;
	}
	s = scratch_take(sizeof(*ev));
	if (!s)
		return 0;
	ev = (void *)s->data;
	fill_mark(ev, st, what, task, until);
	ev->text_len = fill_text(s, what);
	head_fill(&ev->head, EVENT_MARK, s->at, task, now);
	scratch_send(s);
	scratch_give(s);
	return 0;
}

/* A unix socket is known by its path. (One in the abstract namespace begins with a NUL.) */
static __always_inline void name_of_unix(struct mark_what *what)
{
	struct unix_address *address;
	struct unix_sock *sk = (void *)what->sock;
	int len;

	if (!what->sock || BPF_CORE_READ(&sk->sk, __sk_common.skc_family) != AF_UNIX)
		return;
	address = BPF_CORE_READ(sk, addr);
	len = address ? BPF_CORE_READ(address, len) : 0;
	if (len <= 2)
		return;
	what->text = (__u64)address + bpf_core_field_offset(struct unix_address, name) + 2;
	what->text_len = len - 2;
	what->text_is_kernel = 1;
}

/* The same, of this moment. */
static __always_inline void mark_as_of_now(struct task_state *st, struct mark_what *what)
{
	stay();
	what->now = bpf_ktime_get_boot_ns();
	write_mark(st, what);
	stay_no_more();
}

/* A mark of the current task without anything to it. */
static __always_inline void mark_now(struct task_state *st, __u32 mark, __u64 now)
{
	struct mark_what what = { .now = now, .mark = mark, .fd = -1 };

	write_mark(st, &what);
}

/* The current task is watched from here on; its time begins now. */
static __always_inline void watch_begin(struct task_struct *task, struct task_state *st, __u64 now)
{
	__u64 birth = plain(task)->group_leader->start_boottime;

	if (!watching || (st->flags & TASK_WATCHED))
		return;
	if (birth <= settled_newest)
		bpf_map_delete_elem(&settled, &birth);
	st->flags |= TASK_WATCHED;
	st->since_ns = now;
	st->on_ns = now;
	st->off_ns = 0;
	st->wake_ns = 0;
	st->running_ns = 0;
	st->runnable_ns = 0;
	__builtin_memset(st->blocked_ns, 0, sizeof(st->blocked_ns));
	/* What it used before is not the start's. */
	mark_now(st, MARK_SUMS, now);
}

/* ---- who sends ---- */

/*
 * What is sent within the machine arrives in a softirq, at most times in the sender's own context. Where that is put
 * off (to ksoftirqd, or to the end of somebody's interrupt), whoever is current has no part in it. So each
 * sender that is watched leaves its name, under the ports of both ends: the receiver's look-up is in write_wait().
 */
static __always_inline bool is_local(const struct sock *sk)
{
	__u16 family = READ(struct sock, sk, __sk_common.skc_family);
	__u64 peer[2] = {}, own[2] = {};
	__u32 daddr, saddr;

	if (family == AF_INET) {
		daddr = READ(struct sock, sk, __sk_common.skc_daddr);
		saddr = READ(struct sock, sk, __sk_common.skc_rcv_saddr);
		/* A server's UDP socket has no other end. */
		return ((daddr ? daddr : saddr) & 0xff) == 127 || daddr == saddr;
	}
	/* Also 127.0.0.1 as a dual-stack socket has it: ::ffff:127.0.0.1. */
	BPF_CORE_READ_INTO((struct in6_addr *)&peer, sk, __sk_common.skc_v6_daddr);
	BPF_CORE_READ_INTO((struct in6_addr *)&own, sk, __sk_common.skc_v6_rcv_saddr);
	return (peer[0] == own[0] && peer[1] == own[1]) ||
	       (!peer[0] && (__u32)peer[1] == 0xffff0000 && (peer[1] >> 32 & 0xff) == 127);
}

static __always_inline void sender_note(const struct sock *sk, struct task_struct *task, __u64 now)
{
	struct sender by = { .time_ns = now };
	__u32 key;

	if (!is_local(sk))
		return;
	key = (__u32)READ(struct sock, sk, __sk_common.skc_num) << 16 |
	      __builtin_bswap16(READ(struct sock, sk, __sk_common.skc_dport));
	task = plain(task);
	by.pid = task->tgid;
	by.tid = task->pid;
	__builtin_memcpy(by.comm, task->comm, COMM_LEN);
	bpf_map_update_elem(&senders, &key, &by, BPF_ANY);
}

/* A wait for a packet was ended by whoever sent through the socket's other end meanwhile. */
static __always_inline void sender_find(struct event_wait *ev, __u64 now)
{
	struct sender *by;
	__u32 key = (__u32)ev->sock.peer_port << 16 | ev->sock.local_port;

	if (ev->waker_kind == WAKER_TASK || !ev->sock.peer_port)
		return;
	by = bpf_map_lookup_elem(&senders, &key);
	if (!by) {
		key &= 0xffff0000;
		by = bpf_map_lookup_elem(&senders, &key);
	}
	if (!by || by->time_ns < ev->off_ns || by->time_ns > now)
		return;
	ev->waker_kind = WAKER_SOFTIRQ;
	ev->waker_pid = by->pid;
	ev->waker_tid = by->tid;
	__builtin_memcpy(ev->waker_comm, by->comm, COMM_LEN);
}

/* What a wait was about, as far as the switch knows. */
struct wait_what {
	__u64 file;                   /* struct file * whose page was waited for, or 0 */
	__u64 now;
	__u64 task;                   /* struct task_struct *, as a number: see read.bpf.h */
	__u64 rival;                  /* struct task_struct * that gave the CPU up */
	__u64 rival_ns;               /* ... after so long, by the scheduler's clock; 0: not known */
	__u64 wake_ns;
};

/*
 * Does a signal interrupt the task? There is a flag for that, but its place among the flags is in no type information,
 * and moved (x86, 6.18).
 */
static __always_inline bool is_signalled(struct task_struct *task)
{
	struct signal_struct *all = READ(struct task_struct, task, signal);
	__u64 pending = READ(struct task_struct, task, pending.signal.sig[0]);

	pending |= READ(struct signal_struct, all, shared_pending.signal.sig[0]);
	return pending & ~READ(struct task_struct, task, blocked.sig[0]);
}

/* Describes the descriptor that a wait was on. */
static __always_inline void fill_wait_fd(struct event_wait *ev, struct scratch *s,
					 struct task_struct *task, __u64 faulted)
{
	struct event_fd what = {};
	struct files_struct *files;
	struct fs_struct *fs;
	struct file *file;
	struct sock *sk;
	__u64 table;

	if (faulted) {
		file = (void *)faulted;
		what.kind = FD_FILE;
		what.inode = BPF_CORE_READ(file, f_inode, i_ino);
	} else {
		if (ev->fd == 0xffffffff)
			return;
		files = READ(struct task_struct, task, files);
		if (!files)
			return;
		table = NUMBER(READ(struct files_struct, files, fdt));
		file = file_of(table, ev->fd);
		if (!file)
			return;
		describe_fd(table, ev->fd, &what);
	}
	ev->fd_kind = what.kind;
	ev->inode = what.inode;
	if (what.kind == FD_SOCKET) {
		sk = sock_of(file);
		ev->facts |= FACT_SOCK;
		describe_sock((__u64)sk, &ev->sock);
	} else if (what.kind == FD_FILE || what.kind == FD_OTHER) {
		fs = READ(struct task_struct, task, fs);
		if (fs)
			ev->path_len = fill_path(s, READ(struct file, file, f_path.dentry),
						 READ(struct file, file, f_path.mnt), fs, &ev->facts,
						 FACT_PATH_CUT);
	}
}

/* All of a wait's record but what its descriptor is. */
static __always_inline void fill_wait(struct event_wait *ev, struct task_state *st, struct wait_what *what)
{
	struct task_struct *task = (void *)what->task, *rival = (void *)what->rival;

	take_spent(st, &ev->spent, st->off_ns);
	ev->off_ns = st->off_ns;
	ev->wake_ns = what->wake_ns;
	ev->args[0] = st->args[0];
	ev->args[1] = st->args[1];
	ev->args[2] = st->args[2];
	ev->timeout_ns = st->timeout_ns;
	ev->nr = st->nr;
	ev->kind = st->kind;
	ev->facts = st->facts;
	ev->fd = st->fd;
	ev->inode = 0;
	ev->dev = 0;
	ev->fd_kind = FD_UNKNOWN;
	ev->waker_kind = what->wake_ns ? st->waker_kind : WAKER_NONE;
	ev->waker_pid = st->waker_pid;
	ev->waker_tid = st->waker_tid;
	if (waker_exact)
		ev->facts |= FACT_WAKER_EXACT;
	ev->path_len = 0;
	ev->reserved = 0;
	__builtin_memset(&ev->sock, 0, sizeof(ev->sock));
	__builtin_memcpy(ev->waker_comm, st->waker_comm, COMM_LEN);
	ev->rival_pid = READ(struct task_struct, rival, tgid);
	ev->rival_ns = what->rival_ns;
	if (bpf_ksym_exists(bpf_rdonly_cast))
		__builtin_memcpy(ev->rival_comm, AS(struct task_struct, rival)->comm, COMM_LEN);
	else
		bpf_probe_read_kernel(ev->rival_comm, COMM_LEN,
				      (void *)rival + bpf_core_field_offset(struct task_struct, comm));
	if (is_signalled(task))
		ev->facts |= FACT_SIGNAL;
	st->since_ns = what->now;
}

static __always_inline void fill_wait_head(struct event_wait *ev, struct wait_what *what, __u32 size)
{
	struct task_struct *task = (void *)what->task, *leader;

	ev->head.time_ns = what->now;
	leader = READ(struct task_struct, task, group_leader);
	ev->head.birth_ns = READ(struct task_struct, leader, start_boottime);
	ev->head.size = size;
	ev->head.kind = EVENT_WAIT;
	ev->head.pid = READ(struct task_struct, task, tgid);
	ev->head.tid = READ(struct task_struct, task, pid);
}

/*
 * Writes the wait of a task that is about to get its CPU: straight into the ring where no descriptor, and so no path, is
 * to be told.
 */
__noinline int write_wait(struct task_state *st, struct wait_what *what)
{
	struct event_wait *ev;
	struct scratch *s;

	if (!st || !what)
		return 0;
	if (!what->file && st->fd == 0xffffffff) {
		ev = bpf_ringbuf_reserve(&ring, sizeof(*ev), 0);
		if (!ev) {
			count_lost_event(sizeof(*ev));
			return 0;
		}
		fill_wait(ev, st, what);
		fill_wait_head(ev, what, sizeof(*ev));
		bpf_ringbuf_submit(ev, wake_flags());
		return 0;
	}
	s = scratch_take(sizeof(*ev));
	if (!s)
		return 0;
	ev = (void *)s->data;
	fill_wait(ev, st, what);
	fill_wait_fd(ev, s, (void *)what->task, what->file);
	if ((ev->facts & FACT_SOCK) && what->wake_ns)
		sender_find(ev, what->now);
	fill_wait_head(ev, what, s->at);
	scratch_send(s);
	scratch_give(s);
	return 0;
}

/* ---- the file of a page ---- */

static long note_file(struct task_struct *task, struct vm_area_struct *vma, void *ctx)
{
	__u64 *file = ctx;

	*file = (__u64)BPF_CORE_READ(vma, vm_file);
	return 0;
}

/* The file that is mapped where the task's last page fault was; 0 where it is none, or the map is being changed. */
static __always_inline __u64 file_of_fault(struct task_struct *task, struct task_state *st)
{
	__u64 file = 0;

	if (faults_told && st->fault)
		bpf_find_vma(task, st->fault, note_file, &file, 0);
	return file;
}
