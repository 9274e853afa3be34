/* A seccomp filter for the program that is executed in one's place. */
#ifndef FILTER_H
#define FILTER_H

#include "starter.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif

/* Which call it is. */
#define NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define IS(number, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, yes, no)
#define REFUSE(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

__attribute__((unused)) static void filter(struct sock_filter *steps, unsigned short count)
{
	struct sock_fprog program = { count, steps };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		die("seccomp");
}

/* The program that argv has as its first argument. */
__attribute__((noreturn, unused)) static void become(int argc, char **argv)
{
	if (argc < 2) {
		dprintf(2, "%s: which program?\n", program_invocation_short_name);
		_exit(2);
	}
	execvp(argv[1], argv + 1);
	die(argv[1]);
}

#endif
