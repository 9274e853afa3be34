/* threads_fork: a thread that is not the leader forks, and its child executes /bin/true.
 * Expected: one start, mechanism fork_exec, whose creator is the process "self" (the evidence may
 * name the thread); none for the thread.
 * Prints {"self", "thread", "child"}. */
#include "starter.h"
#include <pthread.h>

static pid_t thread, child;

static void *fork_in_thread(void *unused)
{
	(void)unused;
	thread = (pid_t)syscall(SYS_gettid);
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0)
		exec_true("threads_fork");
	reap_ok(child);
	return NULL;
}

int main(void)
{
	pthread_t other;

	errno = pthread_create(&other, NULL, fork_in_thread, NULL);
	if (errno)
		die("pthread_create");
	pthread_join(other, NULL);
	printf("{\"self\": %d, \"thread\": %d, \"child\": %d}\n", getpid(), thread, child);
	return 0;
}
