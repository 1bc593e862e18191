package checks

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"accountservice/tests/harness"
)

func TestVolumeKnowsWhatEndsWithTheContainer(t *testing.T) {
	const id64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for line, want := range map[string]string{
		"7 6 0:47 / / rw - overlay overlay rw,lowerdir=x":                                     "is no volume but the container's own file system",
		"7 6 0:47 / / ro,relatime - fuse.fuse-overlayfs fuse-overlayfs rw":                    "is no volume but the container's own file system",
		"7 6 0:50 / /data rw master:3 shared:4 - tmpfs tmpfs rw,size=64k":                     "is in memory (tmpfs)",
		"7 6 254:0 /var/lib/docker/volumes/" + id64 + "/_data /data rw - ext4 /dev/vda rw":    "is a volume without a name, which is removed with its task",
		"7 6 254:0 /var/lib/docker/volumes/accounts/_data /data rw,relatime - ext4 /dev/a rw": "",
		"7 6 254:0 /srv/accounts /data rw - xfs /dev/vdb rw":                                  "",
		"7 6 0:50 /volumes/ab/_data /da\\040ta rw - nfs4 server:/export rw":                   "",
	} {
		table := "6 1 0:1 / /sys rw - sysfs sysfs rw\n" + line + "\n8 6 0:9 / /proc rw - proc proc rw\n"
		m, err := findMount([]byte("pos:\t0\nflags:\t02100000\nmnt_id:\t7\nino:\t2\n"), []byte(table))
		if err != nil || m.volatile() != want {
			t.Errorf("%s: %q (%v), want %q", line, m.volatile(), err, want)
		}
	}
}

func TestVolumeThatCannotBeToldIsAnError(t *testing.T) {
	for fdinfo, table := range map[string]string{
		"pos:\t0\n":       "7 6 0:47 / / rw - overlay overlay rw\n",
		"mnt_id:\t7\n":    "",
		"mnt_id:\t7\n\n":  "70 6 0:47 / / rw - overlay overlay rw\n",
		"mnt_id:\t7\n \n": "7 6 0:47 /\n",
	} {
		if m, err := findMount([]byte(fdinfo), []byte(table)); err == nil {
			t.Errorf("%q in %q is %+v, want an error", fdinfo, table, m)
		}
	}
	if err := Volume(filepath.Join(t.TempDir(), "gone"))(t.Context()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("Volume of a folder that is gone = %v", err)
	}
}

// The mount is that of the folder itself, however a path leads to it.
func TestVolumeAsksTheKernelForTheMount(t *testing.T) {
	dir := t.TempDir()
	harness.SmallDisk(t, dir, "size=64k")
	link := filepath.Join(t.TempDir(), "link")
	harness.Must(t, unix.Symlink(dir, link))
	for _, path := range []string{dir, link} {
		err := Volume(path)(t.Context())
		if err == nil || !strings.Contains(err.Error(), path+" is in memory (tmpfs)") {
			t.Errorf("Volume(%s) = %v, want that it is in memory", path, err)
		}
	}
}
