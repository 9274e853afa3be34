/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Exec: the point of no return, the new image in place, and the calls that failed.
 */

SEC("?tp_btf/sched_prepare_exec")
int BPF_PROG_THAT_STAYS(on_prepare_exec, struct task_struct *task)
{
	struct task_state *st = state_of_caller(task);

	if (st) {
		st->prepare_ns = bpf_ktime_get_boot_ns();
		watch_begin(task, st, st->prepare_ns);
	}
	return 0;
}

/* The argument area of the new image: what was really passed, not what the call's pointers say. */
static __always_inline __u32 fill_argv(struct scratch *s, struct mm_struct *mm, __u32 *facts)
{
	__u64 begin = mm->arg_start;
	__u64 end = mm->arg_end;
	__u64 len = end > begin ? end - begin : 0;
	__u32 at = s->at;

	if (!len || at > SCRATCH_LAST)
		return 0;
	if (len > ARGV_CAP)
		len = ARGV_CAP;
	barrier_var(len);
	if (len > ARGV_CAP)
		return 0;
	if (bpf_probe_read_user(s->data + at, len, (void *)begin)) {
		*facts |= FACT_ARGV_UNREADABLE;
		__sync_fetch_and_add(&lost.argv, 1);
		return 0;
	}
	s->at = at + len;
	return len;
}

/* All of the record but the strings; `facts` are those that are known. Of the current task, whose state may be missing. */
__noinline int describe_exec(struct event_exec *ev, struct task_state *st, __u32 facts)
{
	struct task_struct *task = plain(bpf_get_current_task_btf());
	struct mm_struct *mm = task->mm;
	struct file *exe = mm->exe_file;
	struct dentry *dentry = exe->f_path.dentry;
	struct inode *inode = exe->f_inode;

	if (!ev)
		return 0;
	facts |= session_facts(task->signal);
	facts |= fds_read(task, ev->fds, 4);
	facts |= group_facts(task->signal, &ev->group);
	ev->sig_ignored = signals_of(task->sighand);
	ev->entry_ns = 0;
	ev->prepare_ns = 0;
	if (st) {
		ev->entry_ns = st->exec_entry_ns;
		ev->prepare_ns = st->prepare_ns;
		if (st->flags & TASK_EXEC_MM)
			facts |= FACT_ENTRY_IS_MM_ALLOC;
	}
	ev->inode = READ(struct inode, inode, i_ino);
	ev->dev = READ(struct super_block, inode->i_sb, s_dev);
	if (!READ(struct dentry, dentry, d_hash.pprev))
		facts |= FACT_EXE_DELETED;
	ev->argv_true = mm->arg_end > mm->arg_start ? mm->arg_end - mm->arg_start : 0;
	ev->uid = task->cred->euid.val;
	ev->gid = task->cred->egid.val;
	ev->ns_pid = own_ns_pid(task);
	ev->facts = facts;
	ev->filename_len = 0;
	ev->interp_len = 0;
	ev->exe_len = 0;
	ev->cwd_len = 0;
	ev->argv_len = 0;
	ev->within_len = 0;
	ev->reserved = 0;
	__builtin_memcpy(ev->comm, task->comm, COMM_LEN);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG_THAT_STAYS(on_exec, struct task_struct *task, int old_tid, struct linux_binprm *bprm)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct task_state *st = state_of_current(task);
	struct event_exec *ev;
	struct scratch *s;
	struct mm_struct *mm;
	struct fs_struct *fs;
	const char *filename, *interp;
	__u32 facts = 0;
	__u64 cgroup_id;
	int argc;

	if (!is_tracked(st))
		return 0;
	argc = READ(struct linux_binprm, bprm, argc);
	if (!st && link_probes)
		st = state_make(task);
	if (st) {
		ran_unseen(task, st, now, true);
		if (watching) {
			watch_begin(task, st, now);
			mark_now(st, MARK_EXEC, now);
		}
		/* The new image has what it inherits, and has done nothing with it. */
		st->listener = 0;
		st->listen_port = 0;
		st->flags &= ~(TASK_SERVES | TASK_ACCEPTED | TASK_ANSWERED | TASK_HAS_WRITTEN);
	}
	cgroup_id = cgroup_of(task, &facts);
	s = scratch_take(sizeof(*ev));
	if (s) {
		ev = (void *)s->data;
		describe_exec(ev, st, facts);
		facts = ev->facts;
		ev->cgroup_id = cgroup_id;
		ev->old_tid = old_tid;
		ev->argc = argc;
		mm = plain(task)->mm;
		fs = plain(task)->fs;
		filename = READ(struct linux_binprm, bprm, filename);
		interp = READ(struct linux_binprm, bprm, interp);
		ev->filename_len = fill_str(s, filename, bpf_probe_read_kernel_str);
		ev->interp_len = interp != filename ? fill_str(s, interp, bpf_probe_read_kernel_str) : 0;
		ev->exe_len = fill_path(s, mm->exe_file->f_path.dentry, mm->exe_file->f_path.mnt, fs,
					&facts, FACT_EXE_CUT);
		ev->cwd_len = fill_path(s, fs->pwd.dentry, fs->pwd.mnt, fs, &facts, FACT_CWD_CUT);
		if (is_elsewhere(fs))
			ev->within_len = fill_path_within(s, mm->exe_file->f_path.dentry);
		ev->argv_len = fill_argv(s, mm, &facts);
		ev->facts = facts;
		head_fill(&ev->head, EVENT_EXEC, s->at, task, now);
		scratch_send(s);
		scratch_give(s);
	} else {
		/* That the exec happened is worth telling without its strings. */
		ev = bpf_ringbuf_reserve(&ring, sizeof(*ev), 0);
		if (ev) {
			describe_exec(ev, st, facts | FACT_NO_SCRATCH);
			ev->cgroup_id = cgroup_id;
			ev->old_tid = old_tid;
			ev->argc = argc;
			head_fill(&ev->head, EVENT_EXEC, sizeof(*ev), task, now);
			bpf_ringbuf_submit(ev, wake_flags());
		} else {
			count_lost_event(sizeof(*ev));
		}
	}
	if (st) {
		st->exec_entry_ns = 0;
		st->prepare_ns = 0;
		st->exec_path = 0;
		st->flags = (st->flags | TASK_EXECED) & ~TASK_EXEC_MM;
		link_expect(st);
		entry_expect(task, st);
	}
	return 0;
}

/* An exec came back: it failed. `error` is a positive errno, 0 where it is not known. */
static __always_inline void exec_failed(struct task_struct *task, struct task_state *st, __s32 error)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct event_exec_fail *ev;
	struct scratch *s = scratch_take(sizeof(*ev));

	if (!s)
		goto out;
	ev = (void *)s->data;
	ev->entry_ns = st->exec_entry_ns;
	ev->error = error;
	ev->facts = 0;
	ev->reserved = 0;
	/* Read now, not at entry: by now the kernel has faulted the page in. */
	ev->path_len = fill_str(s, (void *)st->exec_path, bpf_probe_read_user_str);
	if (!ev->path_len)
		ev->facts |= FACT_PATH_UNREADABLE;
	head_fill(&ev->head, EVENT_EXEC_FAIL, s->at, task, now);
	scratch_send(s);
	scratch_give(s);
out:
	st->exec_entry_ns = 0;
	st->exec_path = 0;
	st->prepare_ns = 0;
	st->flags &= ~TASK_EXEC_MM;
}
