/* raw_clones [CGROUP]: the system calls that make a process, by hand, in every shape that the kernel
 * side has to tell apart. Each child executes /bin/true with its role.
 *   raw_clone       clone(SIGCHLD), no flags, the caller's stack
 *   clear_sighand   clone3 with CLONE_CLEAR_SIGHAND, whose bit is beyond 32
 *   usr1, silent    clone with SIGUSR1 and with 0 as exit signal
 *   near, far       clone(CLONE_VM|CLONE_VFORK) on a stack in the caller's frame and on a mapped one
 *   vm_only         clone(CLONE_VM) on a mapped stack
 *   vfork_only      clone(CLONE_VFORK) of a copy
 *   namespace       clone(CLONE_NEWUTS) on a mapped stack (root only; 0 otherwise)
 *   cgroup          clone3 with CLONE_INTO_CGROUP into the v2 cgroup CGROUP (0 without one)
 *   raw_fork, same  fork(2), and clone(CLONE_VM|CLONE_VFORK) on the very same stack (x86-64 only; 0
 *                   elsewhere)
 * Prints a pid for each role and for "self". */
#include "starter.h"
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#define CLEAR_SIGHAND 0x100000000ULL
#define INTO_CGROUP 0x200000000ULL
#define STACK 65536

struct arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	uint64_t set_tid, set_tid_size, cgroup;
};

static int run(void *role)
{
	exec_true(role);
}

static pid_t checked(pid_t child, const char *what)
{
	int status = 0;

	if (child < 0)
		die(what);
	while (waitpid(child, &status, __WALL) < 0)
		if (errno != EINTR)
			die("waitpid");
	if (status) {
		dprintf(2, "raw_clones: %s ended with wait status 0x%x\n", what, status);
		_exit(1);
	}
	return child;
}

/* A copy on the caller's stack: returns twice, as fork does. */
static pid_t copy(uint64_t flags, const char *role)
{
	pid_t child = (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);

	if (child == 0)
		exec_true(role);
	return checked(child, role);
}

static pid_t copy3(uint64_t flags, uint64_t cgroup, const char *role)
{
	struct arguments arguments = { .flags = flags, .exit_signal = SIGCHLD, .cgroup = cgroup };
	pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);

	if (child == 0)
		exec_true(role);
	return checked(child, role);
}

static pid_t on_mapped(int flags, char *role)
{
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	pid_t child;

	if (stack == MAP_FAILED)
		die("mmap");
	child = checked(clone(run, stack + STACK, flags | SIGCHLD, role), role);
	munmap(stack, STACK);
	return child;
}

static pid_t on_near(char *role)
{
	char stack[STACK] __attribute__((aligned(16)));

	return checked(clone(run, stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, role), role);
}

#ifdef __x86_64__
/* As Go does it: the child returns from the call on the parent's own frame, so that no function may
 * return in between. */
static pid_t on_same(void)
{
	static char *const argv[] = { "true", "same", NULL };
	static const char path[] = TRUE_PATH;
	char **env = environ;
	long child;

	__asm__ volatile(
		"syscall\n\t"
		"test %%rax, %%rax\n\t"
		"jnz 1f\n\t"
		"mov %[execve], %%eax\n\t"
		"mov %[path], %%rdi\n\t"
		"mov %[argv], %%rsi\n\t"
		"mov %[env], %%rdx\n\t"
		"syscall\n\t"
		"mov $60, %%eax\n\t"
		"mov $127, %%edi\n\t"
		"syscall\n"
		"1:"
		: "=a"(child)
		: "0"((long)SYS_clone), "D"((long)(CLONE_VM | CLONE_VFORK | SIGCHLD)), "S"(0L),
		  [execve] "i"(SYS_execve), [path] "r"(path), [argv] "r"(argv), [env] "r"(env)
		: "rcx", "r11", "rdx", "memory", "cc");
	if (child < 0) {
		errno = (int)-child;
		child = -1;
	}
	return checked((pid_t)child, "same");
}
#endif

int main(int argc, char **argv)
{
	pid_t raw_fork = 0, same = 0, cgroup = 0, namespace = 0;
	pid_t raw_clone = copy(SIGCHLD, "raw_clone");
	pid_t clear_sighand = copy3(CLEAR_SIGHAND, 0, "clear_sighand");
	pid_t usr1, silent = copy(0, "silent");
	pid_t near = on_near("near"), far = on_mapped(CLONE_VM | CLONE_VFORK, "far");
	pid_t vm_only = on_mapped(CLONE_VM, "vm_only");
	pid_t vfork_only = copy(CLONE_VFORK | SIGCHLD, "vfork_only");

	signal(SIGUSR1, SIG_IGN);
	usr1 = copy(SIGUSR1, "usr1");
	if (geteuid() == 0)
		namespace = on_mapped(CLONE_NEWUTS, "namespace");
	if (argc > 1) {
		int fd = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			die(argv[1]);
		cgroup = copy3(INTO_CGROUP, (uint64_t)fd, "cgroup");
	}
#ifdef __x86_64__
	raw_fork = (pid_t)syscall(SYS_fork);
	if (raw_fork == 0)
		exec_true("raw_fork");
	checked(raw_fork, "raw_fork");
	same = on_same();
#endif
	printf("{\"self\": %d, \"raw_clone\": %d, \"clear_sighand\": %d, \"usr1\": %d, \"silent\": %d, "
	       "\"near\": %d, \"far\": %d, \"vm_only\": %d, \"vfork_only\": %d, \"namespace\": %d, "
	       "\"cgroup\": %d, \"raw_fork\": %d, \"same\": %d}\n",
	       getpid(), raw_clone, clear_sighand, usr1, silent, near, far, vm_only, vfork_only, namespace,
	       cgroup, raw_fork, same);
	return 0;
}
