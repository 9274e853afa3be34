/* fake_spawn: clone(2) by hand that imitates others to the last bit: with every signal blocked,
 *   far   CLONE_VM|CLONE_VFORK on a mapped stack, as glibc's posix_spawn before 2.34
 *   go    the same on the caller's own stack, as Go's os/exec (x86-64 only; 0 elsewhere)
 * Each child executes /bin/true with its role.
 * Expected: mechanisms posix_spawn and vfork_exec; whoever is named as the library is not certain.
 * Prints {"self", "far", "go"}. */
#include "starter.h"
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

static int child_main(void *mark)
{
	exec_true(mark);
}

int main(void)
{
	static char *role = "go";
	uint64_t all = ~UINT64_C(0), old;
	size_t size = 65536;
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	pid_t far, go = 0;

	if (stack == MAP_FAILED)
		die("mmap");
	/* The C library would keep two signals to itself. */
	if (syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &old, sizeof all) < 0)
		die("rt_sigprocmask");
	far = clone(child_main, stack + size, CLONE_VM | CLONE_VFORK | SIGCHLD, "far");
	if (far < 0)
		die("clone");
#ifdef __x86_64__
	{
		static char *argv[] = { "true", NULL, NULL };
		long made;

		argv[1] = role;
		/* In one block, so that the child, on this very stack, returns from nothing. */
		__asm__ volatile("syscall\n\t"
				 "test %%rax, %%rax\n\t"
				 "jnz 1f\n\t"
				 "mov %[exec], %%eax\n\t"
				 "mov %[path], %%rdi\n\t"
				 "mov %[argv], %%rsi\n\t"
				 "xor %%edx, %%edx\n\t"
				 "syscall\n\t"
				 "mov %[exit], %%eax\n\t"
				 "mov $1, %%edi\n\t"
				 "syscall\n"
				 "1:"
				 : "=a"(made)
				 : "a"((long)SYS_clone), "D"((long)(CLONE_VM | CLONE_VFORK | SIGCHLD)), "S"(0L),
				   [exec] "i"(SYS_execve), [exit] "i"(SYS_exit_group), [path] "r"(TRUE_PATH),
				   [argv] "r"(argv)
				 : "rcx", "r11", "rdx", "memory");
		if (made < 0)
			die("clone on the same stack");
		go = (pid_t)made;
	}
#endif
	if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof old) < 0)
		die("rt_sigprocmask");
	reap_ok(far);
	if (go)
		reap_ok(go);
	printf("{\"self\": %d, \"far\": %d, \"go\": %d}\n", getpid(), far, go);
	return 0;
}
