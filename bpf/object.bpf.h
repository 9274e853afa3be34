/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a descriptor stands for, and which descriptors a set of them holds: files, sockets, pipes, epoll sets. Read
 * for watched tasks only.
 */

#define TCP_LISTEN 10
#define PORT_DNS 53

/* ---- what a descriptor is ---- */

/* Fills in the ends of a socket. */
__noinline int describe_sock(__u64 sock, struct event_sock *out)
{
	struct sock *sk = (void *)sock;
	__u16 family;

	if (!out)
		return 0;
	__builtin_memset(out, 0, sizeof(*out));
	family = READ(struct sock, sk, __sk_common.skc_family);
	out->family = family;
	out->type = READ(struct sock, sk, sk_type);
	out->state = READ(struct sock, sk, __sk_common.skc_state);
	if (family == AF_UNIX) {
		out->peer_pid = BPF_CORE_READ(sk, sk_peer_pid, numbers[0].nr);
		return 0;
	}
	if (family != AF_INET && family != AF_INET6)
		return 0;
	out->local_port = READ(struct sock, sk, __sk_common.skc_num);
	out->peer_port = __builtin_bswap16(READ(struct sock, sk, __sk_common.skc_dport));
	if (family == AF_INET) {
		__u32 local = READ(struct sock, sk, __sk_common.skc_rcv_saddr);
		__u32 peer = READ(struct sock, sk, __sk_common.skc_daddr);

		__builtin_memcpy(out->local, &local, 4);
		__builtin_memcpy(out->peer, &peer, 4);
	} else {
		BPF_CORE_READ_INTO(&out->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&out->peer, sk, __sk_common.skc_v6_daddr);
	}
	return 0;
}

/* Where the name of a unix socket lies, and its length. One in the abstract namespace begins with a NUL. */
struct name_at {
	__u64 at;
	__u32 len;
	__u32 reserved;
};

static __always_inline struct name_at name_of_unix(struct unix_sock *sk)
{
	struct unix_address *address = BPF_CORE_READ(sk, addr);
	int len = address ? BPF_CORE_READ(address, len) : 0;
	struct name_at name = {};

	if (len > 2) {
		name.at = (__u64)address + bpf_core_field_offset(struct unix_address, name) + 2;
		name.len = len - 2;
	}
	return name;
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
	return sk && READ(struct sock, sk, __sk_common.skc_state) == TCP_LISTEN;
}

/*
 * How far a task's walk along a path has come, as a number: the folder in which it looks for the next name, or what it is
 * about to open. 0: it is in none. The kernel's own, which holds what it has come to: the path in the program's memory may be
 * another by now.
 */
static __always_inline __u64 walk_of(struct task_struct *task)
{
	if (!bpf_core_field_exists(struct task_struct, nameidata) || !bpf_core_field_exists(struct nameidata, path))
		return 0;
	return NUMBER(READ(struct task_struct, task, nameidata));
}

/* What it means to wait there: for the other end of a FIFO, for a device to be ready. */
__noinline __u32 kind_of_walk(__u64 walk)
{
	struct dentry *dentry;
	struct event_fd what = {};

	if (!walk || !bpf_core_field_exists(struct nameidata, path))
		return WAIT_OTHER;
	dentry = READ(struct nameidata, (void *)walk, path.dentry);
	describe_inode(READ(struct dentry, dentry, d_inode), &what);
	if (what.kind == FD_PIPE)
		return WAIT_PIPE;
	if (what.kind == FD_TTY)
		return WAIT_TTY;
	return what.rdev ? WAIT_DEVICE : WAIT_OTHER;
}

#define KIND_LISTENS (1U << 31)

/* Magic numbers of file systems that are the kernel's own words, on no storage (linux/magic.h). */
#define MAGIC_PROC 0x9fa0
#define MAGIC_SYSFS 0x62656572
#define MAGIC_CGROUP 0x27e0eb
#define MAGIC_CGROUP2 0x63677270
#define MAGIC_DEBUGFS 0x64626720
#define MAGIC_TRACEFS 0x74726163

/* Whoever waits there waits for the kernel: to move a task into a cgroup, it waits until every CPU has been through. */
static __always_inline bool is_of_kernel(struct file *file)
{
	struct inode *inode = READ(struct file, file, f_inode);

	switch (BPF_CORE_READ(inode, i_sb, s_magic)) {
	case MAGIC_PROC:
	case MAGIC_SYSFS:
	case MAGIC_CGROUP:
	case MAGIC_CGROUP2:
	case MAGIC_DEBUGFS:
	case MAGIC_TRACEFS:
		return true;
	default:
		return false;
	}
}

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
		return is_of_kernel(file) ? WAIT_OTHER : WAIT_DISK;
	case FD_SOCKET:
		break;
	default:
		return what.rdev ? WAIT_DEVICE : WAIT_OTHER;
	}
	sk = sock_of(file);
	family = READ(struct sock, sk, __sk_common.skc_family);
	if (family == AF_UNIX)
		return WAIT_UNIX_SOCKET | (listens(sk) ? KIND_LISTENS : 0);
	if (family != AF_INET && family != AF_INET6)
		return WAIT_OTHER;
	if (__builtin_bswap16(READ(struct sock, sk, __sk_common.skc_dport)) == PORT_DNS)
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

#define NO_MORE (-2)

/* The next member of select's sets; -1 where a word of them has been read. */
__noinline int next_selected(struct set_walk *w)
{
	__u64 set = 0, other = 0, bits;
	__u32 word;

	if (!w)
		return NO_MORE;
	bits = w->bits;
	word = w->word;
	if (bits) {
		w->bits = bits & (bits - 1);
		return (word - 1) * 64 + lowest_bit(bits);
	}
	if (word * 64 >= w->n)
		return NO_MORE;
	if (w->sets[0])
		bpf_probe_read_user(&set, sizeof(set), (void *)(w->sets[0] + word * sizeof(set)));
	if (w->sets[1])
		bpf_probe_read_user(&other, sizeof(other), (void *)(w->sets[1] + word * sizeof(set)));
	w->word = word + 1;
	w->bits = set | other;
	return -1;
}

/* The same of poll's array; -1 where that entry is empty. */
__noinline int next_polled(struct set_walk *w, __u32 i)
{
	struct pollfd entry = { .fd = -1 };

	if (!w || i >= w->n)
		return NO_MORE;
	if (bpf_probe_read_user(&entry, sizeof(entry), (void *)(w->array + i * sizeof(entry))))
		return NO_MORE;
	return entry.fd < 0 ? -1 : entry.fd;
}

__noinline int note_member(struct set_walk *w, __u32 fd)
{
	__u32 kind;

	if (!w)
		return 0;
	kind = kind_of_fd(w->table, fd);
	if (kind & KIND_LISTENS) {
		w->listens = 1;
		w->listener = fd;
	}
	kind &= ~KIND_LISTENS;
	if (!w->members++) {
		w->first = fd;
		w->kind = kind;
	} else if (w->kind != kind) {
		w->kind = WAIT_POLL;
	}
	return 0;
}

/* Small, with what it does in global functions: else the verifier looks at it anew for whatever each member was. */
static long look_at_member(__u32 i, void *ctx)
{
	struct set_walk *w = ctx;
	int fd = w->array ? next_polled(w, i) : next_selected(w);

	if (fd >= 0)
		note_member(w, fd);
	return fd == NO_MORE;
}

/* Does an epoll set hold a file? The way from the file is short, that through the set may be long. */
__noinline int epoll_holds(__u64 set, __u64 number)
{
	struct file *file = (void *)number;
	struct hlist_node *node;

	if (!bpf_core_field_exists(struct file, f_ep))
		return false;
	node = BPF_CORE_READ(file, f_ep, first);
	for (int i = 0; i < 8; i++) {
		struct epitem *item;

		if (!node)
			return false;
		item = (void *)node - bpf_core_field_offset(struct epitem, fllink);
		if ((__u64)BPF_CORE_READ(item, ep) == set)
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
	return epoll_holds((__u64)BPF_CORE_READ(epfile, private_data), listener);
}

#define NO_FD 0xffffffff

/*
 * The first descriptor of an epoll set that something has come for; NO_FD if there is none, as when the time is over. The
 * way to it is as short as that set is long.
 */
__noinline __u32 epoll_ready(__u64 table, __u32 fd)
{
	struct file *epfile = file_of(table, fd), *file;
	struct eventpoll *ep;
	struct epitem *item;
	__u64 first;
	__u32 ready;

	if (!epfile || !bpf_core_field_exists(struct eventpoll, rdllist) || !bpf_core_field_exists(struct epitem, ffd))
		return NO_FD;
	ep = (void *)BPF_CORE_READ(epfile, private_data);
	first = (__u64)BPF_CORE_READ(ep, rdllist.next);
	if (!first || first == (__u64)ep + bpf_core_field_offset(struct eventpoll, rdllist))
		return NO_FD;
	item = (void *)first - bpf_core_field_offset(struct epitem, rdllink);
	/* Another thread may have put other files under both numbers. */
	if (BPF_CORE_READ(item, ep) != ep)
		return NO_FD;
	ready = BPF_CORE_READ(item, ffd.fd);
	file = file_of(table, ready);
	return file && file == BPF_CORE_READ(item, ffd.file) ? ready : NO_FD;
}

/*
 * Nothing tells of a unix socket that listens, nor of sockets that came from another process. For those
 * the lowest descriptors are looked through, which takes 10 us where there are many: when descriptors came or
 * went, else ever more seldom. Meanwhile only those are looked at that were sockets without a peer: hardly any
 * process has more than one or two.
 */
#define LOOK_FDS 256
#define LOOK_AGAIN_US 5000
#define LOOK_SELDOM_US 1000000
#define LOOK_LEAST_NS 100000
#define MAY_LISTEN 4

struct listener_search {
	__u64 table;
	__u64 ep;
	__u64 met;                    /* sockets that may come to listen: see struct task_state */
	__u64 met_count;
	__u32 n;
	__u32 found;
};

#define TCP_CLOSE 7
#define SOCK_STREAM 1
#define SOCK_SEQPACKET 5

/* Can it listen, and has no peer? */
static __always_inline bool may_listen(struct sock *sk)
{
	__u16 type = READ(struct sock, sk, sk_type);
	__u8 state = READ(struct sock, sk, __sk_common.skc_state);

	return (type == SOCK_STREAM || type == SOCK_SEQPACKET) && (state == TCP_CLOSE || state == TCP_LISTEN);
}

static long try_listener(__u32 i, void *ctx)
{
	struct listener_search *w = ctx;
	struct file *file;
	struct sock *sk;

	if (i >= w->n)
		return 1;
	file = fd_file((void *)w->table, i);
	sk = file ? sock_of(file) : NULL;
	if (!sk || !may_listen(sk))
		return 0;
	w->met = w->met << 8 | (i & 0xff);
	w->met_count++;
	if (!listens(sk) || !epoll_holds(w->ep, NUMBER(file)))
		return 0;
	w->found = i;
	return 1;
}

/* One of those that were met before: does it listen now, and is in the set? */
static long try_met(__u32 i, void *ctx)
{
	struct listener_search *w = ctx;
	__u32 fd = w->met & 0xff;
	struct file *file;

	if (i >= w->met_count)
		return 1;
	w->met >>= 8;
	file = fd < w->n ? fd_file((void *)w->table, fd) : NULL;
	if (!file || !listens(sock_of(file)) || !epoll_holds(w->ep, NUMBER(file)))
		return 0;
	w->found = fd;
	return 1;
}

/* Is it time to look through all descriptors, of which `next` is the next to be given? */
static __always_inline bool look_at_all(struct task_state *leader, __u32 next, __u64 now)
{
	__u64 since = now - leader->looked_ns;

	if (leader->looked_ns && next == leader->looked_fd) {
		if (since < leader->look_pause_us * 1000ULL)
			return false;
		if (leader->may_listen_count <= MAY_LISTEN && leader->look_pause_us < LOOK_SELDOM_US)
			leader->look_pause_us *= 4;
	} else {
		if (since < LOOK_LEAST_NS)
			return false;
		leader->look_pause_us = LOOK_AGAIN_US;
	}
	leader->looked_ns = now;
	leader->looked_fd = next;
	return true;
}

/* The descriptor of a socket that listens and is in an epoll set; NO_FD if there is none. */
__noinline __u32 epoll_listener(struct task_state *leader, __u64 files, __u32 fd)
{
	struct listener_search w = { .found = NO_FD };
	struct file *epfile;
	bool all;

	if (!leader || !files)
		return NO_FD;
	all = look_at_all(leader, READ(struct files_struct, (void *)files, next_fd), bpf_ktime_get_boot_ns());
	if (!all && (!leader->may_listen_count || leader->may_listen_count > MAY_LISTEN))
		return NO_FD;
	w.table = NUMBER(READ(struct files_struct, (void *)files, fdt));
	epfile = file_of(w.table, fd);
	if (!epfile)
		return NO_FD;
	w.ep = (__u64)BPF_CORE_READ(epfile, private_data);
	w.n = READ(struct fdtable, (void *)w.table, max_fds);
	if (all) {
		w.met = w.met_count = some_zero;
		bpf_loop(LOOK_FDS, try_listener, &w, 0);
		leader->may_listen = w.met;
		leader->may_listen_count = w.met_count;
	} else {
		w.met = leader->may_listen;
		w.met_count = leader->may_listen_count;
		bpf_loop(MAY_LISTEN, try_met, &w, 0);
	}
	return w.found;
}
