# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The file tree of our guests: busybox, the guest's init with its debug-exit, and
# programs of this machine that a test asks for. To be sourced, with packages.sh and initrd.sh.

# What "--with" knows: the package a tool is in, and its programs.
declare -A tool_package=(
	[blk]=util-linux
	[curl]=curl
	[e2fsprogs]=e2fsprogs
	[ethtool]=ethtool
	[fio]=fio
	[iperf3]=iperf3
	[udev]=udev
)
declare -A tool_programs=(
	[blk]='fstrim blkdiscard lsblk'
	[curl]=curl
	[e2fsprogs]='mke2fs mkfs.ext4 e2fsck resize2fs debugfs dumpe2fs'
	[ethtool]=ethtool
	[fio]=fio
	[iperf3]=iperf3
)

# guest_udev TREE: udev with the rules that make /dev/disk/by-id. Unpacked and not
# installed: on this machine it would start to run.
guest_udev() {
	local tree=$1 unpacked
	unpacked=$(mktemp -d)
	need_packages kmod
	packages_update
	unpack_package udev "$(package_candidate udev)" "$unpacked"
	initrd_program "$tree" "$(find "$unpacked" -path '*bin/udevadm' | head -n 1)"
	mkdir -p "$tree/lib/systemd" "$tree/lib/udev/rules.d"
	ln -s /usr/bin/udevadm "$tree/lib/systemd/systemd-udevd"
	cp "$(find "$unpacked" -name 60-persistent-storage.rules | head -n 1)" "$tree/lib/udev/rules.d/"
	rm -rf "$unpacked"
}

guest_rootfs=$(cd "$(dirname "${BASH_SOURCE[0]}")/../rootfs" && pwd)

# guest_tree TREE INIT TOOLS: a tree whose process 1 is the file INIT. TOOLS are
# names from the tables above, with commas between them.
guest_tree() {
	local tree=$1 init=$2 tool program path
	local -a names
	IFS=, read -r -a names <<<"$3"
	initrd_busybox "$tree"
	# Else it is written to what busybox has put there, a link to itself.
	rm -f "$tree/$init"
	install -m 755 "$guest_rootfs/init" "$tree/$init"
	as -o "$tree/bin/debug-exit.o" "$guest_rootfs/debug_exit.S"
	ld -s -o "$tree/bin/debug-exit" "$tree/bin/debug-exit.o"
	rm "$tree/bin/debug-exit.o"
	for tool in "${names[@]}"; do
		[[ -n "${tool_package[$tool]:-}" ]] ||
			packages_fail "--with $tool: there are only ${!tool_package[*]}"
		if [[ $tool == udev ]]; then
			guest_udev "$tree"
			continue
		fi
		need_packages "${tool_package[$tool]}"
		for program in ${tool_programs[$tool]}; do
			path=$(PATH=$PATH:/usr/sbin:/sbin command -v "$program") ||
				packages_fail "${tool_package[$tool]} has no $program"
			initrd_program "$tree" "$path"
		done
		[[ $tool != e2fsprogs ]] || cp /etc/mke2fs.conf "$tree/etc/"
	done
}
