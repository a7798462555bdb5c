# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The file tree of our guests: busybox, the guest's init, and programs of this
# machine that a test asks for. To be sourced, with packages.sh and initrd.sh.

# What "--with" knows: the package a tool is in, and its programs.
declare -A tool_package=(
	[blk]=util-linux
	[e2fsprogs]=e2fsprogs
	[ethtool]=ethtool
	[fio]=fio
	[iperf3]=iperf3
)
declare -A tool_programs=(
	[blk]='fstrim blkdiscard lsblk'
	[e2fsprogs]='mke2fs mkfs.ext4 e2fsck resize2fs debugfs dumpe2fs'
	[ethtool]=ethtool
	[fio]=fio
	[iperf3]=iperf3
)

guest_init=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../guest-images/rootfs" && pwd)/init

# guest_tree TREE INIT TOOLS: a tree whose process 1 is the file INIT. TOOLS are
# names from the tables above, with commas between them.
guest_tree() {
	local tree=$1 init=$2 tool program path
	local -a names
	IFS=, read -r -a names <<<"$3"
	initrd_busybox "$tree"
	# Else it is written to what busybox has put there, a link to itself.
	rm -f "$tree/$init"
	install -m 755 "$guest_init" "$tree/$init"
	for tool in "${names[@]}"; do
		[[ -n "${tool_package[$tool]:-}" ]] ||
			packages_fail "--with $tool: there are only ${!tool_package[*]}"
		need_packages "${tool_package[$tool]}"
		for program in ${tool_programs[$tool]}; do
			path=$(PATH=$PATH:/usr/sbin:/sbin command -v "$program") ||
				packages_fail "${tool_package[$tool]} has no $program"
			initrd_program "$tree" "$path"
		done
		[[ $tool != e2fsprogs ]] || cp /etc/mke2fs.conf "$tree/etc/"
	done
}
