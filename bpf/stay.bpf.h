/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Staying on the CPU.
 */
#ifndef STARTRACE_STAY_H
#define STARTRACE_STAY_H

extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

/* Keeps the program on its CPU until cpu_give(), where the kernel can (since 6.10). No global function may be called in between. */
static __always_inline void cpu_keep(void)
{
	if (bpf_ksym_exists(bpf_preempt_disable))
		bpf_preempt_disable();
}

static __always_inline void cpu_give(void)
{
	if (bpf_ksym_exists(bpf_preempt_disable))
		bpf_preempt_enable();
}

/*
 * The same for a whole tracepoint program. Since 7.0 those can be preempted. The switch would count into the very sums that
 * a program is about to tell, as of a time that it read before; and another task that comes to the same program on that CPU
 * meanwhile would be passed over (lost.recursion_misses). Where interrupts are off, as in the scheduler and where signals are
 * sent, it can not happen. Whatever is called in between must not be able to sleep, which the verifier can tell of global
 * functions since 6.15.
 */
static __always_inline void stay(void)
{
	if (preemptible)
		cpu_keep();
}

static __always_inline void stay_no_more(void)
{
	if (preemptible)
		cpu_give();
}

/* As BPF_PROG(), and stays on its CPU from the first instruction to the last. */
#define BPF_PROG_THAT_STAYS(name, args...)                                                         \
	name(unsigned long long *ctx);                                                             \
	static __always_inline int name##_itself(unsigned long long *ctx, ##args);                 \
	int name(unsigned long long *ctx)                                                          \
	{                                                                                          \
		_Pragma("GCC diagnostic push")                                                     \
		_Pragma("GCC diagnostic ignored \"-Wint-conversion\"")                             \
		stay();                                                                            \
		name##_itself(___bpf_ctx_cast(args));                                              \
		_Pragma("GCC diagnostic pop")                                                      \
		stay_no_more();                                                                    \
		return 0;                                                                          \
	}                                                                                          \
	static __always_inline int name##_itself(unsigned long long *ctx, ##args)

#endif
