package checks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// Volume fails when what is written into dir ends with its container: dir lies in the container's own file system, in
// memory, or in a volume without a name. It looks at the mount alone, so it is for processes that run in a container.
func Volume(dir string) func(context.Context) error {
	return func(context.Context) error {
		m, err := mountOf(dir)
		if err != nil {
			return fmt.Errorf("finding the mount of %s: %w", dir, err)
		}
		if why := m.volatile(); why != "" {
			return fmt.Errorf("%s %s: the accounts end with this container; mount a named volume at %s", dir, why, dir)
		}
		return nil
	}
}

// mount is a line of mountinfo; see proc_pid_mountinfo(5).
type mount struct {
	root  string // the part of the file system that is mounted
	point string
	kind  string // of file system
}

// mountOf finds the mount that dir is on, whatever symbolic links or other mounts lead there: the kernel is asked of
// the open folder.
func mountOf(dir string) (mount, error) {
	d, err := os.Open(dir)
	if err != nil {
		return mount{}, err
	}
	defer d.Close()
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", d.Fd()))
	if err != nil {
		return mount{}, err
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return mount{}, err
	}
	return findMount(info, table)
}

// findMount finds the line of table whose id fdinfo names.
func findMount(fdinfo, table []byte) (mount, error) {
	_, rest, _ := bytes.Cut(fdinfo, []byte("mnt_id:"))
	id, _, found := strings.Cut(strings.TrimLeft(string(rest), "\t "), "\n")
	if !found {
		return mount{}, errors.New("the kernel does not tell its id")
	}
	for line := range strings.Lines(string(table)) {
		// id parent major:minor root point options [tags ...] - kind source options
		before, after, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if len(fields) >= 6 && len(kind) > 0 && fields[0] == id {
			return mount{root: fields[3], point: fields[4], kind: kind[0]}, nil
		}
	}
	return mount{}, fmt.Errorf("mount %s is not in /proc/self/mountinfo", id)
}

// anonymous is where Docker keeps a volume to which nobody gave a name.
var anonymous = regexp.MustCompile(`/volumes/[0-9a-f]{64}/_data$`)

// volatile says why what is written there does not last, or nothing.
func (m mount) volatile() string {
	switch {
	case m.point == "/":
		return "is no volume but the container's own file system"
	case m.kind == "tmpfs" || m.kind == "ramfs":
		return "is in memory (" + m.kind + ")"
	case anonymous.MatchString(m.root):
		return "is a volume without a name, which is removed with its task"
	}
	return ""
}
