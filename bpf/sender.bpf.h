/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who sends through connections within the machine.
 */
#ifndef STARTRACE_SENDER_H
#define STARTRACE_SENDER_H

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

#endif
