/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets that begin to listen, and how attempts to connect end: refusals are over within connect() itself,
 * or in some other task's softirq, so no wait tells of them.
 */

#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2

/* Who began an attempt, and when. */
struct connecting {
	__u64 birth_ns;
	__u64 since_ns;
	__u32 pid;
	__u32 tid;
};

/* Attempts under way of watched tasks, by socket. Each ends with a change of the socket's state. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct connecting);
} connecting SEC(".maps");

__u64 connecting_live = 0;                  /* entries in there: else strangers' connections look nothing up */

static __always_inline void connect_begins(const struct sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *st = state_of_current(task);
	struct connecting who = {};
	__u64 key = (__u64)sk;

	if (!is_watched(st))
		return;
	who.birth_ns = plain(task)->group_leader->start_boottime;
	who.since_ns = bpf_ktime_get_boot_ns();
	who.pid = plain(task)->tgid;
	who.tid = plain(task)->pid;
	if (!bpf_map_update_elem(&connecting, &key, &who, BPF_NOEXIST))
		__sync_fetch_and_add(&connecting_live, 1);
	else if (bpf_map_update_elem(&connecting, &key, &who, BPF_EXIST))
		__sync_fetch_and_add(&lost.storage, 1);
}

static __always_inline void connect_ends(const struct sock *sk, bool failed)
{
	struct event_connect *ev;
	struct connecting *found, who;
	struct event_sock ends;
	__u64 key = (__u64)sk, number = 0;
	struct pt_regs *regs;

	if (!connecting_live)
		return;
	found = bpf_map_lookup_elem(&connecting, &key);
	if (!found)
		return;
	who = *found;
	if (!bpf_map_delete_elem(&connecting, &key))
		__sync_fetch_and_sub(&connecting_live, 1);
	/* A global function takes numbers only, and the verifier forgets what this one is when it is copied so. */
	bpf_probe_read_kernel(&number, sizeof(number), &key);
	describe_sock(number, &ends);
	ev = ring_reserve(sizeof(*ev));
	if (!ev)
		return;
	ev->head.time_ns = bpf_ktime_get_boot_ns();
	ev->head.birth_ns = who.birth_ns;
	ev->head.size = sizeof(*ev);
	ev->head.kind = EVENT_CONNECT;
	ev->head.pid = who.pid;
	ev->head.tid = who.tid;
	ev->since_ns = who.since_ns;
	ev->failed = failed;
	ev->error = failed ? BPF_CORE_READ(sk, sk_err) : 0;
	ev->facts = FACT_SOCK;
	ev->path_len = 0;
	ev->sock = ends;
	if (failed && !ev->error) {
		/* In connect() itself the kernel gave up; elsewhere it was closed. */
		regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
		if (call_class(syscall_nr(regs)) != CALL_CONNECT)
			ev->facts |= FACT_GIVEN_UP;
	}
	bpf_ringbuf_submit(ev, wake_flags());
}

static __always_inline void listen_begins(const struct sock *sk)
{
	struct mark_what what = { .mark = MARK_LISTEN, .fd = -1 };
	struct task_state *st, *leader;
	struct task_struct *task;

	task = bpf_get_current_task_btf();
	st = state_of_current(task);
	if (!is_watched(st))
		return;
	leader = leader_of(task, st);
	if (leader) {
		leader->listener = (__u64)BPF_CORE_READ(sk, sk_socket, file);
		leader->listen_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	}
	what.sock = (__u64)sk;
	what.value = BPF_CORE_READ(sk, sk_max_ack_backlog);
	mark_as_of_now(st, &what);
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(on_sock_state, const struct sock *sk, const int oldstate, const int newstate)
{
	if (newstate == TCP_LISTEN)
		listen_begins(sk);
	else if (newstate == TCP_SYN_SENT)
		connect_begins(sk);
	else if (oldstate == TCP_SYN_SENT)
		connect_ends(sk, newstate != TCP_ESTABLISHED);
	return 0;
}

/*
 * A unix socket is connected or refused at once, and no hook but the call's own tracepoint sees it: attached
 * where tracepoints of system calls are in use anyway.
 */
SEC("?tp/syscalls/sys_exit_connect")
int exit_connect(struct trace_event_raw_sys_exit *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *st = state_of_current(task);
	struct event_connect *ev;
	struct pt_regs *regs;
	__u64 address, len;
	struct scratch *s;
	__u32 at, size;
	__u16 family = 0;
	__s64 ret;

	if (!is_watched(st))
		return 0;
	ret = ctx->ret;
	/* Under way, or interrupted by a signal and begun anew. */
	if (ret == -115 || ret <= -512)
		return 0;
	regs = (void *)bpf_task_pt_regs(task);
	address = call_arg(regs, 1);
	len = call_arg(regs, 2);
	if (bpf_probe_read_user(&family, sizeof(family), (void *)address) || family != AF_UNIX)
		return 0;
	s = scratch_take(sizeof(*ev));
	if (!s)
		return 0;
	ev = (void *)s->data;
	ev->since_ns = 0;
	ev->failed = ret < 0;
	ev->error = ret < 0 ? -ret : 0;
	ev->facts = FACT_SOCK;
	__builtin_memset(&ev->sock, 0, sizeof(ev->sock));
	ev->sock.family = AF_UNIX;
	ev->path_len = 0;
	size = len > sizeof(family) ? len - sizeof(family) : 0;
	if (size > UNIX_PATH_MAX)
		size = UNIX_PATH_MAX;
	barrier_var(size);
	at = s->at;
	if (size && size <= UNIX_PATH_MAX && at <= SCRATCH_LAST &&
	    !bpf_probe_read_user(s->data + at, size, (void *)(address + sizeof(family)))) {
		ev->path_len = size;
		s->at = at + size;
	}
	head_fill(&ev->head, EVENT_CONNECT, s->at, task, bpf_ktime_get_boot_ns());
	scratch_send(s);
	scratch_give(s);
	return 0;
}
