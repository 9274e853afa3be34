/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Page faults, at --level deep: where the last one was (a task that leaves its CPU in one waits for that page), and
 * the first instruction of a static program, whose page is never mapped before. A stranger's fault costs a look-up.
 */

/* A new image is in place. A static one begins in its own text, a dynamic one in its loader's. */
static __always_inline void entry_expect(struct task_struct *task, struct task_state *st)
{
	struct pt_regs *regs;
	struct mm_struct *mm;
	__u64 ip;

	st->entry = 0;
	st->fault = 0;
	if (!faults_told)
		return;
	regs = (void *)bpf_task_pt_regs(task);
	mm = plain(task)->mm;
#if defined(__TARGET_ARCH_x86)
	ip = regs->ip;
#elif defined(__TARGET_ARCH_arm64)
	ip = regs->pc;
#endif
	if (ip >= READ(struct mm_struct, mm, start_code) && ip < READ(struct mm_struct, mm, end_code))
		st->entry = ip;
}

SEC("?tp_btf/page_fault_user")
int BPF_PROG(on_page_fault, unsigned long address)
{
	struct mark_what what = { .mark = MARK_ENTRY, .fd = -1 };
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *st = state_of(task);

	if (!is_watched(st))
		return 0;
	st->fault = address;
	if (st->entry && address == st->entry) {
		st->entry = 0;
		mark_as_of_now(st, &what);
	}
	return 0;
}
