# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Does this machine's KVM boot Linux? Some only pretend to be hardware and fail
# in the guest's first instructions, and nothing that the CPU says of itself
# tells them apart, so the answer comes from booting. To be sourced, with
# packages.sh and cache.sh.

stock_images=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../guest-images/stock" && pwd)

# kvm_boots_linux RINGLET: succeeds if that program boots Debian's kernel here.
# The answer is kept for as long as this machine is up. RINGLET_KVM=yes or =no
# in the environment is the answer, too.
kvm_boots_linux() {
	local ringlet=$1 answer=${RINGLET_KVM:-} kept kernel initrd status=0 console
	if [[ -z "$answer" ]]; then
		[[ -r /dev/kvm && -w /dev/kvm ]] || return 1
		kept=$RINGLET_CACHE/kvm-boots-linux.$(</proc/sys/kernel/random/boot_id)
		[[ ! -e "$kept" ]] || answer=$(<"$kept")
	fi
	if [[ -z "$answer" ]]; then
		kernel=$("$stock_images/fetch" default cloud) &&
			initrd=$("$stock_images/initrd" default cloud) || return 1
		# "dHJ1ZQ==" is "true". The outer timeout is for a ringlet that hangs.
		console=$(timeout -k 5 60 "$ringlet" run -k "$kernel" -i "$initrd" \
			-a rl.cmd=dHJ1ZQ== --timeout 30s -q </dev/null 2>/dev/null) || status=$?
		answer=no
		! grep -q '^RINGLET-GUEST-EXIT 0' <<<"$console" || answer=yes
		# A ringlet that did not get as far as a guest has said nothing of KVM.
		if ((status < 125)); then
			rm -f "$RINGLET_CACHE"/kvm-boots-linux.*
			echo "$answer" >"$kept"
		fi
	fi
	[[ "$answer" == yes ]]
}
