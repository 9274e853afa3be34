/* no_threads PROGRAM [ARGS]: refuses threads by a seccomp filter, as the kernel does where a limit of tasks is reached,
 * and executes PROGRAM, which inherits the filter. Processes can be made.
 * Expected: what PROGRAM does without threads of its own. */
#include "filter.h"
#include <sched.h>

int main(int argc, char **argv)
{
	struct sock_filter steps[] = {
		NUMBER,
		/* Its flags are in memory, where no filter looks; C libraries then take the older call. */
		IS(SYS_clone3, 4, 0),
		IS(SYS_clone, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 2, 0),
		ALLOW,
		REFUSE(ENOSYS),
		REFUSE(EAGAIN),
	};

	filter(steps, sizeof steps / sizeof *steps);
	become(argc, argv);
}
