/* exec_paths FOLDER: children that execute programs by odd paths, out of FOLDER (which has to be
 * empty), where a copy of /bin/true is put as "copy".
 *   link       FOLDER/link, a link to FOLDER/copy
 *   relative   ./copy, in FOLDER
 *   proc_self  /proc/self/exe with the argument "nothing": this program, which then does nothing
 *   deleted    the copy by its descriptor, after its name was removed
 *   nobody     /bin/true after setresgid(65534) and setresuid(65534) (root only; 0 otherwise)
 *   spaces     /bin/true with empty arguments and such as have spaces
 *   refused    ENOTDIR (a file as folder), E2BIG (arguments beyond any limit), then /bin/true
 * Prints a pid for each role and for "self", and "fd", the number of the deleted one's descriptor. */
#include "starter.h"
#include <grp.h>
#include <sys/sendfile.h>

#define NOBODY 65534
/* One argument may have 32 pages and no more, whatever the stack limit. */
#define TOO_BIG (1 << 20)

static char copied[4096], linked[4096];

static void copy_true(const char *path)
{
	int from = open(TRUE_PATH, O_RDONLY | O_CLOEXEC);
	int to = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0755);
	ssize_t n;

	if (from < 0 || to < 0)
		die(path);
	while ((n = sendfile(to, from, NULL, 1 << 20)) > 0)
		;
	if (n < 0 || close(to) < 0)
		die("sendfile");
	close(from);
}

static pid_t begin(void)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	return child;
}

static pid_t run(const char *folder, char *path, char *role)
{
	pid_t child = begin();

	if (child == 0) {
		char *argv[] = { path, role, NULL };

		if (folder && chdir(folder) < 0)
			die(folder);
		execv(path, argv);
		die("execv");
	}
	reap_ok(child);
	return child;
}

int main(int argc, char **argv)
{
	pid_t link, relative, proc_self, deleted, nobody = 0, spaces, refused;
	int fd;

	if (argc > 1 && !strcmp(argv[1], "nothing"))
		return 0;
	if (argc != 2) {
		dprintf(2, "exec_paths: which folder?\n");
		return 2;
	}
	snprintf(copied, sizeof copied, "%s/copy", argv[1]);
	snprintf(linked, sizeof linked, "%s/link", argv[1]);
	copy_true(copied);
	if (symlink(copied, linked) < 0)
		die("symlink");

	link = run(NULL, linked, "link");
	relative = run(argv[1], "./copy", "relative");
	proc_self = run(NULL, "/proc/self/exe", "nothing");

	fd = open(copied, O_PATH | O_CLOEXEC);
	if (fd < 0 || unlink(copied) < 0 || unlink(linked) < 0)
		die(copied);
	deleted = begin();
	if (deleted == 0) {
		char *list[] = { "true", "deleted", NULL };

		syscall(SYS_execveat, fd, "", list, environ, AT_EMPTY_PATH);
		die("execveat");
	}
	reap_ok(deleted);

	if (geteuid() == 0) {
		nobody = begin();
		if (nobody == 0) {
			if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			    setresuid(NOBODY, NOBODY, NOBODY) < 0)
				die("setresuid");
			exec_true("nobody");
		}
		reap_ok(nobody);
	}

	spaces = begin();
	if (spaces == 0) {
		char *list[] = { "true", "", "two words", "", " ", NULL };

		execv(TRUE_PATH, list);
		die("execv");
	}
	reap_ok(spaces);

	refused = begin();
	if (refused == 0) {
		char *big = malloc(TOO_BIG);
		char *list[] = { "true", big, NULL };

		if (!big)
			die("malloc");
		memset(big, 'x', TOO_BIG - 1);
		big[TOO_BIG - 1] = 0;
		execv(TRUE_PATH "/nothing", list);
		if (errno != ENOTDIR)
			die("ENOTDIR");
		execv(TRUE_PATH, list);
		if (errno != E2BIG)
			die("E2BIG");
		exec_true("refused");
	}
	reap_ok(refused);
	printf("{\"self\": %d, \"link\": %d, \"relative\": %d, \"proc_self\": %d, \"deleted\": %d, "
	       "\"nobody\": %d, \"spaces\": %d, \"refused\": %d, \"fd\": %d}\n",
	       getpid(), link, relative, proc_self, deleted, nobody, spaces, refused, fd);
	return 0;
}
