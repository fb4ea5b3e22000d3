package config

import (
	"math"

	"golang.org/x/sys/unix"
)

// localSystems and networkSystems are names by the number that statfs gives (statfs(2)).
var localSystems = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", 0x2fc12fc1: "zfs",
	unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.F2FS_SUPER_MAGIC: "f2fs",
}

var networkSystems = map[int64]string{
	unix.NFS_SUPER_MAGIC: "nfs", unix.SMB_SUPER_MAGIC: "smb", unix.SMB2_SUPER_MAGIC: "smb2", 0xff534d42: "cifs",
	unix.CEPH_SUPER_MAGIC: "ceph", unix.AFS_SUPER_MAGIC: "afs", unix.CODA_SUPER_MAGIC: "coda", unix.V9FS_MAGIC: "9p",
}

// fileSystem is what lies under a folder.
func fileSystem(dir string) (free uint64, name string, network bool) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return math.MaxUint64, "", false
	}
	free = st.Bavail * uint64(st.Bsize)
	kind := int64(uint32(st.Type)) // on some machines the field is signed and 32 bits wide
	if name, network = networkSystems[kind]; network {
		return free, name, true
	}
	return free, localSystems[kind], false
}
