/* no_clone3 PROGRAM [ARGS]: refuses clone3 by a seccomp filter, with ENOSYS, as the filters of container
 * engines do that are older than the call, and executes PROGRAM, which inherits the filter.
 * Expected: whatever PROGRAM starts, with another primitive where its C library would use clone3. */
#include "starter.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif

int main(int argc, char **argv)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof steps / sizeof *steps, steps };

	if (argc < 2) {
		dprintf(2, "no_clone3: which program?\n");
		return 2;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		die("seccomp");
	if (syscall(SYS_clone3, NULL, 0) != -1 || errno != ENOSYS)
		die("clone3 is not refused");
	execvp(argv[1], argv + 1);
	die(argv[1]);
}
