/* spawn_into_cgroup: glibc's posix_spawn(3) and pidfd_spawn(3) with POSIX_SPAWN_SETCGROUP, from 2.39 on: the
 * kernel makes the child in another cgroup. A cgroup v2 hierarchy is mounted for the time being.
 * Expected: two starts, mechanism posix_spawn with CLONE_INTO_CGROUP, argv ["true", ROLE].
 * Prints {"self", "spawn", "pidfd"}. */
#include "starter.h"
#include <spawn.h>
#include <sys/mount.h>
#include <sys/pidfd.h>

static void must(int error, const char *what)
{
	if (error) {
		errno = error;
		die(what);
	}
}

int main(void)
{
	char folder[] = "/tmp/cgroup-XXXXXX";
	char *spawn_argv[] = { "true", "spawn", NULL };
	char *pidfd_argv[] = { "true", "pidfd", NULL };
	posix_spawnattr_t attr;
	pid_t spawned, by_pidfd;
	siginfo_t info;
	int cgroup, pidfd;

	if (!mkdtemp(folder))
		die("mkdtemp");
	if (mount("none", folder, "cgroup2", 0, NULL) < 0)
		die("mount cgroup2");
	cgroup = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0)
		die("open cgroup");
	must(posix_spawnattr_init(&attr), "posix_spawnattr_init");
	must(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETCGROUP), "posix_spawnattr_setflags");
	must(posix_spawnattr_setcgroup_np(&attr, cgroup), "posix_spawnattr_setcgroup_np");
	must(posix_spawn(&spawned, TRUE_PATH, NULL, &attr, spawn_argv, environ), "posix_spawn");
	reap_ok(spawned);
	must(pidfd_spawn(&pidfd, TRUE_PATH, NULL, &attr, pidfd_argv, environ), "pidfd_spawn");
	by_pidfd = pidfd_getpid(pidfd);
	if (by_pidfd < 0)
		die("pidfd_getpid");
	if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0 || info.si_status != 0)
		die("waitid");
	close(cgroup);
	if (umount2(folder, MNT_DETACH) < 0 || rmdir(folder) < 0)
		die("umount");
	printf("{\"self\": %d, \"spawn\": %d, \"pidfd\": %d}\n", getpid(), spawned, by_pidfd);
	return 0;
}
