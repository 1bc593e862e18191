package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// openFile is a file that was opened at a path, and what is known of where it was then.
type openFile struct {
	path string
	file *os.File
	// hasName: the link count was above 0 when the file was opened. On file systems that always report 0 it proves
	// nothing.
	hasName    bool
	folderDev  uint64            // the device of the file's folder when it was opened
	kernelPath string            // where the kernel said then that it is: see kernelPathOf
	links      map[string]string // the symbolic links on the way to it, and their targets then
}

// opened learns where the file is.
func (o *openFile) opened() {
	if info, err := o.file.Stat(); err == nil {
		o.hasName = links(info) > 0
	}
	if folder, err := os.Stat(filepath.Dir(o.path)); err == nil {
		o.folderDev = device(folder)
	}
	o.kernelPath = kernelPathOf(o.file)
	o.links = make(map[string]string)
	o.findLinks(o.path)
}

// findLinks finds the symbolic links on the way that path is.
func (o *openFile) findLinks(path string) {
	for at := path; at != filepath.Dir(at); at = filepath.Dir(at) {
		target, err := os.Readlink(at)
		if _, known := o.links[at]; err != nil || known {
			continue
		}
		o.links[at] = target
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(at), target)
		}
		o.findLinks(target)
	}
}

// diverted reports whether a symbolic link on the way was replaced. One that cannot be read is taken to be the same.
func (o *openFile) diverted() bool {
	for link, before := range o.links {
		target, err := os.Readlink(link)
		if err == nil && target != before || errors.Is(err, syscall.EINVAL) {
			return true
		}
	}
	return false
}

// errReplaced: the open file is not, or no longer, the one at the path. Everything written from then on would be lost
// with the process.
var errReplaced = errors.New("the open database is no longer the file at its path")

// atPath is nil if the open file is the one at its path, or if the path is closed (no permission, a loop of links, a
// stale handle), the kernel says that the file has not moved, and no link on the way to it leads elsewhere now: then
// the file that every later process will find is this one. It is errReplaced if the file is not there, or may not be.
// Another error is of the disk.
func (o *openFile) atPath() error {
	open, err := o.file.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(o.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %s was deleted or moved away", errReplaced, o.path)
	case errors.Is(err, syscall.EIO):
		return err
	case errors.Is(err, syscall.ELOOP) && o.unmoved(open), err != nil && o.unmoved(open) && !o.diverted():
		return nil
	case err != nil: // it may be deleted, or moved away, and no write may be acknowledged then
		return fmt.Errorf("%w: it cannot be seen there: %w", errReplaced, err)
	case !os.SameFile(open, there):
		return fmt.Errorf("%w: another file was put at %s", errReplaced, o.path)
	case o.deleted(open):
		return fmt.Errorf("%w: %s is mounted alone, and was deleted or replaced where it comes from; "+
			"mount its folder instead", errReplaced, o.path)
	}
	return nil
}

// deleted reports whether the open file has no name left, whatever its path leads to: that can be a mount of this one
// file, whose original was deleted.
func (o *openFile) deleted(open fs.FileInfo) bool { return o.hasName && links(open) == 0 }

// unmoved reports whether the open file is where it was opened, whatever its path leads to.
func (o *openFile) unmoved(open fs.FileInfo) bool {
	return !o.deleted(open) && o.kernelPath != "" && kernelPathOf(o.file) == o.kernelPath
}

// kernelPathOf is where an open file is by the kernel's own tables, for which no permission is needed: its path, which
// follows a rename and differs after a removal, and the mounts on the way to it, to which one is added that hides the
// file. It is empty without /proc.
func kernelPathOf(f *os.File) string {
	path, noPath := os.Readlink(fmt.Sprint("/proc/self/fd/", f.Fd()))
	table, noTable := os.ReadFile("/proc/self/mountinfo") // proc_pid_mountinfo(5): id parent device root point ...
	if noPath != nil || noTable != nil {
		return ""
	}
	found := path
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := strings.TrimSuffix(unescape.Replace(fields[4]), "/")
		if path == point || strings.HasPrefix(path, point+"/") {
			found += " " + fields[0]
		}
	}
	return found
}

// unescape undoes what the kernel does to the names of mount points.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func device(info fs.FileInfo) uint64 { return uint64(info.Sys().(*syscall.Stat_t).Dev) }

func links(info fs.FileInfo) uint64 { return uint64(info.Sys().(*syscall.Stat_t).Nlink) }
