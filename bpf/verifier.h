/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is written for the verifier alone.
 */
#ifndef STARTRACE_VERIFIER_H
#define STARTRACE_VERIFIER_H

/*
 * Zero, but the verifier does not know it. Before Linux 6.7 it looks at a callback of bpf_loop() once only, as if
 * what holds before the first round held in all of them, and leaves out what that makes unreachable: what a callback
 * changes and reads again in a later round has to begin unknown.
 */
__u64 some_zero;

/*
 * Between two checks of one variable: else the compiler makes one of them, on a copy, and kernels before
 * 6.16 or so do not see what that says of the variable itself.
 */
#define barrier_var(var) asm volatile("" : "+r"(var))

#endif
