// start_go KIND: one of the ways in which Go starts programs.
// Expected: a start with argv ["/bin/true", "mark"] (["true", "mark"] by forkexec).
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "start_go:", err)
		os.Exit(1)
	}
}

func with(attributes *syscall.SysProcAttr) {
	cmd := exec.Command("/bin/true", "mark")
	cmd.SysProcAttr = attributes
	check(cmd.Run())
}

func main() {
	switch os.Args[1] {
	case "exec":
		with(nil)
	case "setsid":
		with(&syscall.SysProcAttr{Setsid: true})
	case "namespace":
		with(&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUTS})
	case "userns":
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		with(&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids})
	case "shell":
		check(exec.Command("sh", "-c", "/bin/true mark; :").Run())
	case "reexec":
		check(exec.Command("/proc/self/exe", "nothing").Run())
	case "forkexec":
		pid, err := syscall.ForkExec("/bin/true", []string{"true", "mark"}, &syscall.ProcAttr{})
		check(err)
		_, err = syscall.Wait4(pid, nil, 0, nil)
		check(err)
	case "nothing":
	default:
		check(fmt.Errorf("no kind %q", os.Args[1]))
	}
}
