/* no_clone3 PROGRAM [ARGS]: refuses clone3 by a seccomp filter, with ENOSYS, as the filters of container
 * engines do that are older than the call, and executes PROGRAM, which inherits the filter.
 * Expected: whatever PROGRAM starts, with another primitive where its C library would use clone3. */
#include "filter.h"

int main(int argc, char **argv)
{
	struct sock_filter steps[] = { NUMBER, IS(SYS_clone3, 0, 1), REFUSE(ENOSYS), ALLOW };

	filter(steps, sizeof steps / sizeof *steps);
	if (syscall(SYS_clone3, NULL, 0) != -1 || errno != ENOSYS)
		die("clone3 is not refused");
	become(argc, argv);
}
