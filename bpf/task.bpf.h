/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the time of a start goes: every nanosecond of every task of a process that is in its start, and
 * moments that those tasks pass. Told in records that tile a task's time (see event.h).
 *
 * A task's own fields are written by the task itself (it is the current one, or is being switched to on
 * this CPU), all but the waker's, which sched_waking writes and nobody reads before the task is back.
 */

/* Off-CPU times of this length get a record of their own. */
#define TOLD_NS 100000
/* A task that was silent for so long says how it spent that time when it leaves the CPU. */
#define SILENT_NS 20000000

#define TASK_STATE_STOPPED 4
#define TASK_STATE_TRACED 8
#define TASK_STATE_UNINTERRUPTIBLE 2
#define TIF_SIGPENDING_BIT (1 << 2)
#define SOFTIRQ_SERVED 0x100
#define HARDIRQ_BITS 0xf0000
#define TCP_LISTEN 10
#define PORT_DNS 53

/* ---- who is watched ---- */

static __always_inline bool is_watched(struct task_state *st)
{
	return st && (st->flags & TASK_WATCHED);
}

/* User space has finished the start of this process: it is watched no longer. */
static __always_inline bool is_settled(struct task_struct *task, struct task_state *st)
{
	__u64 birth = plain(task)->group_leader->start_boottime;

	if (!bpf_map_lookup_elem(&settled, &birth))
		return false;
	st->flags &= ~TASK_WATCHED;
	return true;
}

/* The state that stands for the process as a whole. */
static __always_inline struct task_state *state_of_leader(struct task_struct *task)
{
	return bpf_task_storage_get(&tasks, task->group_leader, NULL, 0);
}

/* ---- what a descriptor is ---- */

/* Fills in the ends of a socket. */
__noinline int describe_sock(__u64 sock, struct event_sock *out)
{
	struct sock *sk = (void *)sock;
	__u16 family;

	if (!out)
		return 0;
	__builtin_memset(out, 0, sizeof(*out));
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	out->family = family;
	out->type = BPF_CORE_READ(sk, sk_type);
	out->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (family == AF_UNIX) {
		out->peer_pid = BPF_CORE_READ(sk, sk_peer_pid, numbers[0].nr);
		return 0;
	}
	if (family != AF_INET && family != AF_INET6)
		return 0;
	out->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	out->peer_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (family == AF_INET) {
		__u32 local = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		__u32 peer = BPF_CORE_READ(sk, __sk_common.skc_daddr);

		__builtin_memcpy(out->local, &local, 4);
		__builtin_memcpy(out->peer, &peer, 4);
	} else {
		BPF_CORE_READ_INTO(&out->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&out->peer, sk, __sk_common.skc_v6_daddr);
	}
	return 0;
}

static __always_inline struct file *file_of(__u64 table, __u32 fd)
{
	struct fdtable *fdt = (void *)table;

	if (fd >= READ(struct fdtable, fdt, max_fds))
		return NULL;
	return fd_file(fdt, fd);
}

/* The socket behind a file; NULL for anything else. */
static __always_inline struct sock *sock_of(struct file *file)
{
	struct inode *inode = READ(struct file, file, f_inode);
	struct socket *socket;

	if ((READ(struct inode, inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = READ(struct file, file, private_data);
	/* By a helper: what a global function is given has to be a number. */
	return BPF_CORE_READ(socket, sk);
}

static __always_inline bool listens(struct sock *sk)
{
	return sk && BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN;
}

#define KIND_LISTENS (1U << 31)

/* What it means to wait on a descriptor: a wait_kind, with KIND_LISTENS for a socket that listens. */
__noinline __u32 kind_of_fd(__u64 table, __u32 fd)
{
	struct file *file = file_of(table, fd);
	struct event_fd what = {};
	struct sock *sk;
	__u16 family;

	if (!file)
		return WAIT_OTHER;
	describe_fd(table, fd, &what);
	switch (what.kind) {
	case FD_PIPE:
		return WAIT_PIPE;
	case FD_TTY:
		return WAIT_TTY;
	case FD_FILE:
		return WAIT_DISK;
	case FD_SOCKET:
		break;
	default:
		return what.rdev ? WAIT_DEVICE : WAIT_OTHER;
	}
	sk = sock_of(file);
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (family == AF_UNIX)
		return WAIT_UNIX_SOCKET | (listens(sk) ? KIND_LISTENS : 0);
	if (family != AF_INET && family != AF_INET6)
		return WAIT_OTHER;
	if (__builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport)) == PORT_DNS)
		return WAIT_DNS;
	return WAIT_NETWORK | (listens(sk) ? KIND_LISTENS : 0);
}

/* ---- sets of descriptors ---- */

#define SET_STEPS 256
#define SELECT_FDS 1024

struct pollfd {
	int fd;
	short events;
	short revents;
};

/* A look at the members of a set. */
struct set_walk {
	__u64 table;
	__u64 array;                  /* user's struct pollfd[], or 0 */
	__u64 sets[2];                /* user's sets of select(2), or 0 */
	__u64 bits;                   /* what is left of their words of `word` */
	__u32 word;
	__u32 n;
	__u32 kind;                   /* of all members so far */
	__u32 members;
	__u32 first;                  /* descriptor */
	__u32 listens;
	__u32 listener;               /* descriptor that listens */
};

/* The number of a word's lowest bit. (The builtin for that makes clang 14 run out of memory.) */
static __always_inline __u32 lowest_bit(__u64 word)
{
	__u64 bit = word & -word;
	__u32 n = 0;

	n |= (bit & 0xaaaaaaaaaaaaaaaaULL) ? 1 : 0;
	n |= (bit & 0xccccccccccccccccULL) ? 2 : 0;
	n |= (bit & 0xf0f0f0f0f0f0f0f0ULL) ? 4 : 0;
	n |= (bit & 0xff00ff00ff00ff00ULL) ? 8 : 0;
	n |= (bit & 0xffff0000ffff0000ULL) ? 16 : 0;
	n |= (bit & 0xffffffff00000000ULL) ? 32 : 0;
	return n;
}

/* The next member of select's sets; -1 where a word of them has been read, or nothing is left. */
static __always_inline int next_selected(struct set_walk *w)
{
	__u64 set = 0, other = 0, bits = w->bits;
	__u32 word = w->word;

	if (bits) {
		w->bits = bits & (bits - 1);
		return (word - 1) * 64 + lowest_bit(bits);
	}
	if (w->sets[0])
		bpf_probe_read_user(&set, sizeof(set), (void *)(w->sets[0] + word * sizeof(set)));
	if (w->sets[1])
		bpf_probe_read_user(&other, sizeof(other), (void *)(w->sets[1] + word * sizeof(set)));
	w->word = word + 1;
	w->bits = set | other;
	return -1;
}

static long look_at_member(__u32 i, void *ctx)
{
	struct set_walk *w = ctx;
	struct pollfd entry = { .fd = -1 };
	__u32 kind;

	if (w->array) {
		if (i >= w->n)
			return 1;
		if (bpf_probe_read_user(&entry, sizeof(entry), (void *)(w->array + i * sizeof(entry))))
			return 1;
	} else {
		if (!w->bits && w->word * 64 >= w->n)
			return 1;
		entry.fd = next_selected(w);
	}
	if (entry.fd < 0)
		return 0;
	kind = kind_of_fd(w->table, entry.fd);
	if (kind & KIND_LISTENS) {
		w->listens = 1;
		w->listener = entry.fd;
	}
	kind &= ~KIND_LISTENS;
	if (!w->members++) {
		w->first = entry.fd;
		w->kind = kind;
	} else if (w->kind != kind) {
		w->kind = WAIT_POLL;
	}
	return 0;
}

/* Does an epoll set hold a file? The way from the file is short, that through the set may be long. */
static __always_inline bool epoll_holds(void *ep, struct file *file)
{
	struct hlist_node *node;

	if (!bpf_core_field_exists(struct file, f_ep))
		return false;
	node = BPF_CORE_READ(file, f_ep, first);
	for (int i = 0; i < 8; i++) {
		struct epitem *item;

		if (!node)
			return false;
		item = (void *)node - bpf_core_field_offset(struct epitem, fllink);
		if ((void *)BPF_CORE_READ(item, ep) == ep)
			return true;
		node = BPF_CORE_READ(node, next);
	}
	return false;
}

/* Does an epoll set hold the socket on which this process is known to listen? */
__noinline int epoll_has(__u64 table, __u32 fd, __u64 listener)
{
	struct file *epfile = file_of(table, fd);

	if (!epfile || !listener)
		return 0;
	return epoll_holds(READ(struct file, epfile, private_data), (void *)listener);
}

/*
 * Nothing tells of a unix socket that listens, nor of sockets that came from another process. For those
 * the lowest descriptors are looked through; seldom, unless descriptors came or went.
 */
#define LOOK_FDS 256
#define LOOK_AGAIN_NS 5000000
#define LOOK_LEAST_NS 100000
#define NO_FD 0xffffffff

struct listener_search {
	__u64 table;
	__u64 ep;
	__u32 n;
	__u32 found;
};

static long try_listener(__u32 i, void *ctx)
{
	struct listener_search *w = ctx;
	struct file *file;

	if (i >= w->n)
		return 1;
	file = fd_file((void *)w->table, i);
	if (!file || !listens(sock_of(file)) || !epoll_holds((void *)w->ep, file))
		return 0;
	w->found = i;
	return 1;
}

/* The descriptor of a socket that listens and is in an epoll set; NO_FD if there is none. */
__noinline __u32 epoll_listener(struct task_state *leader, __u64 files, __u32 fd)
{
	struct listener_search w = { .found = NO_FD };
	__u64 now = bpf_ktime_get_boot_ns(), since;
	struct file *epfile;
	__u32 next;

	if (!leader || !files)
		return NO_FD;
	next = READ(struct files_struct, (void *)files, next_fd);
	since = now - leader->looked_ns;
	if (since < (next == leader->looked_fd ? LOOK_AGAIN_NS : LOOK_LEAST_NS))
		return NO_FD;
	leader->looked_ns = now;
	leader->looked_fd = next;
	w.table = (__u64)READ(struct files_struct, (void *)files, fdt);
	epfile = file_of(w.table, fd);
	if (!epfile)
		return NO_FD;
	w.ep = (__u64)READ(struct file, epfile, private_data);
	w.n = READ(struct fdtable, (void *)w.table, max_fds);
	bpf_loop(LOOK_FDS, try_listener, &w, 0);
	return w.found;
}

/* ---- what a task is about to wait for ---- */

#define WAITS_FOR_CLIENTS (1U << 30)
#define FD_OF_KIND(fd) ((__u64)(fd) << 32)

/*
 * The kind of a wait in a system call, with the descriptor in the high half (all ones: none).
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
	case CALL_CHILD:
		return none | WAIT_CHILD;
	case CALL_FORK:
		return none | (st->flags & TASK_VFORKING ? WAIT_VFORK : WAIT_OTHER);
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
		st->timeout_ns = length.sec * 1000000000ULL + length.nsec;
		return none | WAIT_SLEEP;
	case CALL_CLOCK_NANOSLEEP:
		/* An absolute time says nothing of the length. */
		if (!(st->args[1] & 1)) {
			bpf_probe_read_user(&length, sizeof(length), (void *)st->args[2]);
			st->timeout_ns = length.sec * 1000000000ULL + length.nsec;
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
		pages = BPF_CORE_READ(mm, rss_stat[0].count) + BPF_CORE_READ(mm, rss_stat[1].count) +
			BPF_CORE_READ(mm, rss_stat[3].count);
	return pages > 0 ? pages * 4096 : 0;
}

static __always_inline void fill_usage(struct event_usage *out, struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);

	out->user_ns = BPF_CORE_READ(task, utime);
	out->system_ns = BPF_CORE_READ(task, stime);
	out->minor_faults = BPF_CORE_READ(task, min_flt);
	out->major_faults = BPF_CORE_READ(task, maj_flt);
	out->voluntary = BPF_CORE_READ(task, nvcsw);
	out->involuntary = BPF_CORE_READ(task, nivcsw);
	out->read_bytes = 0;
	if (bpf_core_field_exists(struct task_io_accounting, read_bytes))
		out->read_bytes = BPF_CORE_READ(task, ioac.read_bytes);
	out->rss_bytes = rss_of(mm);
	out->threads = BPF_CORE_READ(task, signal, nr_threads);
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

/*
 * Writes a mark of the current task, which is watched. It ends the time since the task's last record.
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
	s = scratch_take(sizeof(*ev));
	if (s) {
		ev = (void *)s->data;
		take_spent(st, &ev->spent, until);
		fill_usage(&ev->usage, task);
		ev->value = what->value;
		ev->mark = what->mark;
		ev->facts = what->facts;
		ev->fd = what->fd;
		if (what->sock) {
			ev->facts |= FACT_SOCK;
			describe_sock(what->sock, &ev->sock);
		} else {
			__builtin_memset(&ev->sock, 0, sizeof(ev->sock));
		}
		ev->text_len = fill_text(s, what);
		head_fill(&ev->head, EVENT_MARK, s->at, task, now);
		scratch_send(s);
		scratch_give(s);
		st->since_ns = until;
	}
	if (st->on_ns)
		st->on_ns = now;
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
	__u64 rival;                  /* struct task_struct * that had the CPU */
	__u64 wake_ns;
};

/* Describes the descriptor that a wait was on. */
static __always_inline void fill_wait_fd(struct event_wait *ev, struct scratch *s,
					 struct task_struct *task, __u64 faulted)
{
	struct files_struct *files = BPF_CORE_READ(task, files);
	struct event_fd what = {};
	struct fs_struct *fs;
	struct file *file;
	struct sock *sk;
	__u64 table;

	if (faulted) {
		file = (void *)faulted;
		what.kind = FD_FILE;
		what.inode = BPF_CORE_READ(file, f_inode, i_ino);
	} else {
		if (ev->fd == 0xffffffff || !files)
			return;
		table = (__u64)BPF_CORE_READ(files, fdt);
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
		fs = BPF_CORE_READ(task, fs);
		if (fs)
			ev->path_len = fill_path(s, BPF_CORE_READ(file, f_path.dentry),
						 BPF_CORE_READ(file, f_path.mnt), fs, &ev->facts,
						 FACT_PATH_CUT);
	}
}

/* Writes the wait of a task that is about to get its CPU. */
__noinline int write_wait(struct task_state *st, struct wait_what *what)
{
	struct task_struct *task, *rival;
	struct event_wait *ev;
	struct scratch *s;

	if (!st || !what)
		return 0;
	s = scratch_take(sizeof(*ev));
	if (!s)
		return 0;
	task = (void *)what->task;
	ev = (void *)s->data;
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
	__builtin_memset(ev->rival_comm, 0, COMM_LEN);
	rival = (void *)what->rival;
	ev->rival_pid = BPF_CORE_READ(rival, tgid);
	bpf_probe_read_kernel(ev->rival_comm, COMM_LEN,
			      (void *)rival + bpf_core_field_offset(struct task_struct, comm));
	if (BPF_CORE_READ(task, thread_info.flags) & TIF_SIGPENDING_BIT)
		ev->facts |= FACT_SIGNAL;
	fill_wait_fd(ev, s, task, what->file);
	if ((ev->facts & FACT_SOCK) && what->wake_ns)
		sender_find(ev, what->now);
	ev->head.time_ns = what->now;
	ev->head.birth_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	ev->head.size = s->at;
	ev->head.kind = EVENT_WAIT;
	ev->head.pid = BPF_CORE_READ(task, tgid);
	ev->head.tid = BPF_CORE_READ(task, pid);
	scratch_send(s);
	scratch_give(s);
	st->since_ns = what->now;
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

/* ---- leaving the CPU and coming back ---- */

static __always_inline bool is_throttled(struct task_struct *task)
{
	struct task_struct___throttled *new = (void *)plain(task);

	if (bpf_core_field_exists(new->throttled))
		return BPF_CORE_READ(new, throttled);
	if (bpf_core_field_exists(struct cfs_rq, throttle_count))
		return BPF_CORE_READ(task, se.cfs_rq, throttle_count) > 0;
	return false;
}

/*
 * Does it wait for memory to be reclaimed, or for its cgroup to get some? Pressure accounting tells where it
 * is switched on; reclaim by the task itself shows on any kernel.
 */
static __always_inline bool lacks_memory(struct task_struct *task)
{
	if (plain(task)->flags & PF_MEMALLOC)
		return true;
	if (bpf_core_field_exists(task->in_memstall) && BPF_CORE_READ_BITFIELD_PROBED(task, in_memstall))
		return true;
	return bpf_core_field_exists(task->memcg_in_oom) && BPF_CORE_READ(task, memcg_in_oom);
}

/* Fills in what the task will wait for. Returns whether it waits for clients. */
static __always_inline bool settle_kind(struct task_struct *task, struct task_state *st, bool preempt)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
	struct files_struct *files;
	struct task_state *leader;
	__u64 found, listener = 0;
	__u32 state, kind;

	st->facts = 0;
	st->fd = -1;
	st->nr = -1;
	st->timeout_ns = 0;
	st->args[0] = st->args[1] = st->args[2] = 0;
	state = plain(task)->__state;
	if (preempt || !state) {
		st->kind = is_throttled(task) ? WAIT_THROTTLED : WAIT_CPU;
		return false;
	}
	if (state & TASK_STATE_UNINTERRUPTIBLE)
		st->facts |= FACT_UNINTERRUPTIBLE;
	if (BPF_CORE_READ_BITFIELD_PROBED(task, in_iowait))
		st->facts |= FACT_IOWAIT;
	st->nr = syscall_nr(regs);
	if (st->nr >= 0) {
		st->args[0] = call_arg(regs, 0);
		st->args[1] = call_arg(regs, 1);
		st->args[2] = call_arg(regs, 2);
	}
	if (state & (TASK_STATE_STOPPED | TASK_STATE_TRACED)) {
		st->kind = WAIT_STOPPED;
		return false;
	}
	if (lacks_memory(task)) {
		st->kind = WAIT_MEMORY;
		return false;
	}
	if (st->nr < 0) {
		st->kind = st->facts & (FACT_IOWAIT | FACT_UNINTERRUPTIBLE) ? WAIT_PAGE_FAULT : WAIT_OTHER;
		return false;
	}
#if defined(__TARGET_ARCH_x86)
	if (plain(task)->thread_info.status & TS_COMPAT) {
		st->facts |= FACT_COMPAT_CALL;
		st->kind = st->facts & FACT_IOWAIT ? WAIT_DISK : WAIT_OTHER;
		return false;
	}
#endif
	files = BPF_CORE_READ(task, files);
	leader = state_of_leader(task);
	if (leader && !(leader->flags & TASK_SERVES))
		listener = leader->listener;
	found = kind_of_call(st, files ? (__u64)BPF_CORE_READ(files, fdt) : 0, listener);
	if (call_class(st->nr) == CALL_EPOLL && !(found & WAITS_FOR_CLIENTS) && leader &&
	    !(leader->flags & TASK_SERVES)) {
		__u32 fd = epoll_listener(leader, (__u64)files, found >> 32);

		if (fd != NO_FD)
			found = FD_OF_KIND(fd) | WAIT_POLL | WAITS_FOR_CLIENTS;
	}
	st->fd = found >> 32;
	kind = found & 0xff;
	/* A read from a file that does not wait for storage waits for whoever serves the file. */
	if (st->facts & FACT_IOWAIT)
		kind = WAIT_DISK;
	else if (kind == WAIT_DISK && !(st->facts & FACT_UNINTERRUPTIBLE))
		kind = WAIT_OTHER;
	st->kind = kind;
	if (!(found & WAITS_FOR_CLIENTS) || !leader || (leader->flags & TASK_SERVES))
		return false;
	leader->flags |= TASK_SERVES;
	return true;
}

static __always_inline void come_back(struct task_struct *task, struct task_state *st,
				      struct task_struct *rival, __u64 now)
{
	struct wait_what what = { .now = now, .task = (__u64)task, .rival = (__u64)rival };
	__u64 blocked, total;
	__u32 kind;

	if (!st->since_ns)
		st->since_ns = now;
	if (!st->off_ns || st->on_ns)
		goto out;
	total = now > st->off_ns ? now - st->off_ns : 0;
	kind = st->kind;
	blocked = total;
	if (kind == WAIT_CPU) {
		blocked = 0;
	} else if (kind != WAIT_THROTTLED && st->wake_ns) {
		what.wake_ns = st->wake_ns < st->off_ns ? st->off_ns : st->wake_ns;
		if (what.wake_ns < now)
			blocked = what.wake_ns - st->off_ns;
		else
			what.wake_ns = now;
	}
	if (total >= TOLD_NS || kind == WAIT_OTHER) {
		if (is_settled(task, st))
			return;
		if (kind == WAIT_PAGE_FAULT)
			what.file = file_of_fault(task, st);
		write_wait(st, &what);
	} else {
		barrier_var(kind);
		if (kind < WAIT_KINDS)
			st->blocked_ns[kind] += blocked;
		st->runnable_ns += total - blocked;
	}
out:
	st->off_ns = 0;
	st->wake_ns = 0;
	st->waker_kind = WAKER_NONE;
	st->on_ns = now;
}

/* It runs: if its coming was not seen, it came when it was woken. */
static __always_inline void came_unseen(struct task_struct *task, struct task_state *st, __u64 now)
{
	if (!st->on_ns)
		come_back(task, st, task, st->wake_ns && st->wake_ns > st->off_ns ? st->wake_ns : now);
}

static __always_inline void leave(struct task_struct *task, struct task_state *st, bool preempt,
				  __u64 now)
{
	struct mark_what what = { .now = now, .fd = -1 };

	came_unseen(task, st, now);
	if (settle_kind(task, st, preempt)) {
		struct files_struct *files = BPF_CORE_READ(task, files);
		struct task_state *leader = state_of_leader(task);

		what.mark = MARK_ACCEPT_WAIT;
		what.fd = st->fd;
		what.sock = listening_sock(files ? (__u64)BPF_CORE_READ(files, fdt) : 0, st->fd,
					   leader ? leader->listener : 0);
		name_of_unix(&what);
	} else if (now - st->since_ns >= SILENT_NS) {
		what.mark = MARK_SUMS;
	}
	if (what.mark) {
		write_mark(st, &what);
	} else if (now > st->on_ns) {
		st->running_ns += now - st->on_ns;
	}
	st->on_ns = 0;
	st->off_ns = now;
}

SEC("?tp_btf/sched_switch")
int BPF_PROG(on_switch_watched, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct task_state *st;
	__u64 now;

	if (plain(prev)->pid) {
		st = state_of(prev);
		if (st && (st->flags & (TASK_WATCHED | TASK_FRESH))) {
			now = bpf_ktime_get_boot_ns();
			ran_unseen(prev, st, now, false);
			if (st->flags & TASK_WATCHED)
				leave(prev, st, preempt, now);
		}
	}
	if (!plain(next)->pid)
		return 0;
	st = state_of(next);
	if (!st) {
		if (!plain(next)->se.sum_exec_runtime)
			first_run_refused(next);
		return 0;
	}
	if (st->flags & (TASK_WATCHED | TASK_FRESH)) {
		now = bpf_ktime_get_boot_ns();
		first_run(next, st, now);
		if (st->flags & TASK_WATCHED)
			come_back(next, st, prev, now);
	}
	return 0;
}

static __always_inline struct task_struct *note_waker(struct task_state *st)
{
	struct task_struct *current = bpf_get_current_task_btf();
	struct task_struct *waker = plain(current);

	st->wake_ns = bpf_ktime_get_boot_ns();
	st->waker_pid = waker->tgid;
	st->waker_tid = waker->pid;
	__builtin_memcpy(st->waker_comm, waker->comm, COMM_LEN);
	return current;
}

static __always_inline __u32 task_or_kernel(struct task_struct *waker)
{
	return plain(waker)->flags & PF_KTHREAD ? WAKER_KERNEL : WAKER_TASK;
}

/*
 * Where the CPU's count of nested interrupts cannot be read, what is current tells: the idle task wakes
 * nobody but in an interrupt, and a task outside of a system call hardly anybody. A task that was
 * interrupted within one is not told from one that wakes by itself.
 */
SEC("?tp_btf/sched_waking")
int BPF_PROG(on_waking, struct task_struct *task)
{
	struct task_state *st = state_of(task);
	struct task_struct *waker;

	if (!is_watched(st))
		return 0;
	waker = note_waker(st);
	if (!plain(waker)->pid || (!(plain(waker)->flags & PF_KTHREAD) &&
			    syscall_nr((void *)bpf_task_pt_regs(waker)) < 0))
		st->waker_kind = WAKER_HARDIRQ;
	else
		st->waker_kind = task_or_kernel(waker);
	return 0;
}

#if defined(__TARGET_ARCH_x86)
/* 6.2 to 6.14 keep the count in a struct. */
struct pcpu_hot {
	int preempt_count;
} __attribute__((preserve_access_index));

extern const int __preempt_count __ksym __weak;
extern const struct pcpu_hot pcpu_hot __ksym __weak;
#endif

SEC("?tp_btf/sched_waking")
int BPF_PROG(on_waking_exact, struct task_struct *task)
{
	struct task_state *st = state_of(task);
	struct task_struct *waker;
	__u32 count = 0;

	if (!is_watched(st))
		return 0;
	waker = note_waker(st);
#if defined(__TARGET_ARCH_x86)
	if (&__preempt_count)
		count = *(int *)bpf_this_cpu_ptr(&__preempt_count);
	else if (&pcpu_hot)
		count = ((struct pcpu_hot *)bpf_this_cpu_ptr(&pcpu_hot))->preempt_count;
#else
	count = BPF_CORE_READ(waker, thread_info.preempt_count);
#endif
	if (count & HARDIRQ_BITS)
		st->waker_kind = WAKER_HARDIRQ;
	else if (count & SOFTIRQ_SERVED)
		st->waker_kind = WAKER_SOFTIRQ;
	else
		st->waker_kind = task_or_kernel(waker);
	return 0;
}

/* ---- sockets ---- */

/* A client's socket, by its port. Once for each of the flags. */
static __always_inline bool is_clients(const struct sock *sk, struct task_state *leader, __u32 flag)
{
	__u16 family = READ(struct sock, sk, __sk_common.skc_family);

	return (family == AF_INET || family == AF_INET6) && leader && leader->listen_port &&
	       !(leader->flags & flag) &&
	       BPF_CORE_READ(sk, __sk_common.skc_num) == leader->listen_port &&
	       BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_LISTEN;
}

/* The beginning of what the current system call sends. */
static __always_inline void sent_text(struct task_struct *task, struct mark_what *what)
{
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
	struct { __u64 base, len; } iov = {};
	__u64 iovs = 0;

	/* Both are read at one place: the verifier allows no load of two kinds of pointer. */
	iov.base = call_arg(regs, 1);
	iov.len = call_arg(regs, 2);
	switch (syscall_nr(regs)) {
	case NR_WRITE:
	case NR_SENDTO:
		break;
	case NR_SENDMSG:
		/* struct msghdr: name, its length, vector, ... */
		if (bpf_probe_read_user(&iovs, sizeof(iovs), (void *)(iov.base + 16)))
			return;
		if (bpf_probe_read_user(&iov, sizeof(iov), (void *)iovs))
			return;
		break;
	default:
		return;
	}
	what->text = iov.base;
	what->text_len = iov.len > TEXT_CAP ? TEXT_CAP : iov.len;
}

SEC("?tp_btf/sock_send_length")
int BPF_PROG(on_sock_send, struct sock *sk, int ret)
{
	struct mark_what what = { .fd = -1 };
	struct task_state *st, *leader;
	struct task_struct *task;
	__u16 family;

	if (ret <= 0)
		return 0;
	family = READ(struct sock, sk, __sk_common.skc_family);
	if (family != AF_UNIX && family != AF_INET && family != AF_INET6)
		return 0;
	task = bpf_get_current_task_btf();
	st = state_of_current(task);
	if (!is_watched(st))
		return 0;
	if (family == AF_UNIX) {
		if (READ(struct sock, sk, sk_type) != SOCK_DGRAM)
			return 0;
		what.mark = MARK_NOTIFY;
		sent_text(task, &what);
	} else {
		sender_note(sk, task, bpf_ktime_get_boot_ns());
		leader = state_of_leader(task);
		if (!is_clients(sk, leader, TASK_ANSWERED))
			return 0;
		leader->flags |= TASK_ANSWERED;
		what.mark = MARK_ANSWER;
	}
	what.now = bpf_ktime_get_boot_ns();
	what.sock = (__u64)sk;
	write_mark(st, &what);
	return 0;
}

/* A client's first bytes: by then it was accepted. */
static __always_inline void received_from_client(struct sock *sk, struct task_struct *task)
{
	struct mark_what what = { .mark = MARK_ACCEPTED, .facts = FACT_INFERRED, .fd = -1 };
	struct task_state *st = state_of_current(task), *leader;

	if (!is_watched(st))
		return;
	leader = state_of_leader(task);
	if (!is_clients(sk, leader, TASK_ACCEPTED))
		return;
	leader->flags |= TASK_ACCEPTED;
	what.now = bpf_ktime_get_boot_ns();
	what.sock = (__u64)sk;
	write_mark(st, &what);
}

/* ---- names ---- */

/* The program tells by its name that it has come somewhere: @NAME written to /proc/self/comm. */
SEC("?tp_btf/task_rename")
int BPF_PROG(on_rename, struct task_struct *task, const char *name)
{
	struct mark_what what = { .mark = MARK_NAME, .fd = -1, .text_is_kernel = 1 };
	struct task_state *st;
	char text[COMM_LEN] = {};

	bpf_probe_read_kernel_str(text, sizeof(text), name);
	if (text[0] != '@')
		return 0;
	/* Also written for another task of the same process: the moment is the writer's. */
	st = state_of_current(bpf_get_current_task_btf());
	if (!is_watched(st))
		return 0;
	what.now = bpf_ktime_get_boot_ns();
	what.text = (__u64)name;
	for (what.text_len = 0; what.text_len < COMM_LEN - 1 && text[what.text_len & 15]; what.text_len++)
		;
	write_mark(st, &what);
	return 0;
}

/* ---- output, where it was asked for ---- */

static __always_inline void output_begins(__u64 fd, __u64 text, __u64 len)
{
	struct mark_what what = { .mark = MARK_OUTPUT };
	struct task_state *st;

	if (fd != 1 && fd != 2)
		return;
	st = state_of_current(bpf_get_current_task_btf());
	if (!is_watched(st) || (!output_all && (st->flags & TASK_HAS_WRITTEN)))
		return;
	st->flags |= TASK_HAS_WRITTEN;
	what.now = bpf_ktime_get_boot_ns();
	what.fd = fd;
	what.text = text;
	what.text_len = len > TEXT_CAP ? TEXT_CAP : len;
	write_mark(st, &what);
}

SEC("?tp/syscalls/sys_enter_write")
int enter_write(struct trace_event_raw_sys_enter *ctx)
{
	output_begins(ctx->args[0], ctx->args[1], ctx->args[2]);
	return 0;
}

SEC("?tp/syscalls/sys_enter_writev")
int enter_writev(struct trace_event_raw_sys_enter *ctx)
{
	struct { __u64 base, len; } iov = {};

	if (ctx->args[0] != 1 && ctx->args[0] != 2)
		return 0;
	bpf_probe_read_user(&iov, sizeof(iov), (void *)ctx->args[1]);
	output_begins(ctx->args[0], iov.base, iov.len);
	return 0;
}
