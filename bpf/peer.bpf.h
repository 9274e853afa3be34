/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who asked a server that makes processes: the one at the other end of the unix stream socket that it read last.
 * The socket itself is closed before the fork.
 */
SEC("?tp_btf/sock_recv_length")
int BPF_PROG(on_sock_recv, struct sock *sk, int ret)
{
	struct task_struct *task;
	struct task_state *st, *leader;
	struct pid *peer;
	__u32 nr;

	if (ret <= 0)
		return 0;
	task = bpf_get_current_task_btf();
	if (READ(struct sock, sk, __sk_common.skc_family) != AF_UNIX) {
		if (watching)
			received_from_client(sk, task);
		return 0;
	}
	st = state_of_caller(task);
	if (!is_tracked(st) || !st)
		return 0;
	peer = READ(struct sock, sk, sk_peer_pid);
	if (!peer)
		return 0;
	nr = BPF_CORE_READ(peer, numbers[0].nr);
	if (!nr || nr == (__u32)plain(task)->tgid)
		return 0;
	st->peer_pid = nr;
	st->peer_ns = bpf_ktime_get_boot_ns();
	if (plain(task)->pid == plain(task)->tgid)
		return 0;
	/* Threads of a pool (Go's) read for each other: who forks need not be who was asked. */
	leader = leader_of(task, st);
	if (leader) {
		leader->peer_pid = nr;
		leader->peer_ns = st->peer_ns;
	}
	return 0;
}
