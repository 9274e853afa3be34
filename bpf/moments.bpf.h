/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Moments that a start passes, told when they happen: what its sockets send and receive, the names it gives itself,
 * its first output where somebody waits for it.
 */

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
		leader = leader_of(task, st);
		if (!is_clients(sk, leader, TASK_ANSWERED))
			return 0;
		leader->flags |= TASK_ANSWERED;
		what.mark = MARK_ANSWER;
	}
	what.sock = (__u64)sk;
	mark_as_of_now(st, &what);
	return 0;
}

/* A client's first bytes: by then it was accepted. */
static __always_inline void received_from_client(struct sock *sk, struct task_struct *task)
{
	struct mark_what what = { .mark = MARK_ACCEPTED, .facts = FACT_INFERRED, .fd = -1 };
	struct task_state *st = state_of_current(task), *leader;

	if (!is_watched(st))
		return;
	leader = leader_of(task, st);
	if (!is_clients(sk, leader, TASK_ACCEPTED))
		return;
	leader->flags |= TASK_ACCEPTED;
	what.sock = (__u64)sk;
	mark_as_of_now(st, &what);
}

/* ---- names ---- */

static __always_inline char first_letter(const char *name)
{
	char letter = 0;

	if (bpf_ksym_exists(bpf_rdonly_cast))
		return (char)NUMBER(pointer_at(name));
	bpf_probe_read_kernel(&letter, sizeof(letter), name);
	return letter;
}

/* The program tells by its name that it has come somewhere: @NAME written to /proc/self/comm. */
SEC("?tp_btf/task_rename")
int BPF_PROG(on_rename, struct task_struct *task, const char *name)
{
	struct mark_what what = { .mark = MARK_NAME, .fd = -1, .text_is_kernel = 1 };
	struct task_state *st;
	char text[COMM_LEN] = {};

	/* Also written for another task of the same process: the moment is the writer's. */
	st = state_of_current(bpf_get_current_task_btf());
	if (!is_watched(st))
		return 0;
	/* The first thread's is told with every exec. */
	if (plain(task)->pid == plain(task)->tgid && first_letter(name) != '@')
		return 0;
	bpf_probe_read_kernel_str(text, sizeof(text), name);
	if (text[0] != '@') {
		what.mark = MARK_THREAD_NAME;
		what.value = plain(task)->pid;
	}
	what.text = (__u64)name;
	for (what.text_len = 0; what.text_len < COMM_LEN - 1 && text[what.text_len & 15]; what.text_len++)
		;
	mark_as_of_now(st, &what);
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
	what.fd = fd;
	what.text = text;
	what.text_len = len > TEXT_CAP ? TEXT_CAP : len;
	mark_as_of_now(st, &what);
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
