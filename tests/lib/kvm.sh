# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Does this machine's KVM boot Linux? Some only pretend to be hardware and fail
# in the guest's first instructions, and nothing that the CPU says of itself
# tells them apart, so the answer comes from running guests: a small one at
# first, `ringlet doctor`'s, then Debian's kernel. To be sourced, with
# packages.sh and cache.sh.

stock_images=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../guest-images/stock" && pwd)
kvm_boot_seconds=60

kvm_says() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# kvm_may_be_opened: succeeds if there is a /dev/kvm and it is ours to use, or
# says on standard error what is in the way and what to do about it.
kvm_may_be_opened() {
	local group mode user
	[[ ! -r /dev/kvm || ! -w /dev/kvm ]] || return 0
	if [[ ! -e /dev/kvm ]]; then
		kvm_says "this machine has no KVM: there is no /dev/kvm"
		return 1
	fi
	user=$(id -un)
	group=$(stat -c %G /dev/kvm)
	mode=$(stat -c %a /dev/kvm)
	kvm_says "this machine has KVM, but you may not open /dev/kvm. Do this, once:"
	if [[ "$group" == root || ! "$mode" =~ [67].$ ]]; then
		# Nobody is let in by a group: udev has not been here.
		kvm_says "    sudo chown root:kvm /dev/kvm && sudo chmod 660 /dev/kvm"
		group=kvm
	fi
	kvm_says "    sudo usermod -aG $group $user    # then log in again"
	return 1
}

# kvm_boots_linux RINGLET: succeeds if that program boots Debian's kernel here,
# or says on standard error why it does not. What a boot has shown is kept for as
# long as this machine is up. RINGLET_KVM=yes or =no in the environment is the
# answer, too.
kvm_boots_linux() {
	local ringlet=$1 kept answer kernel initrd status=0 console
	if [[ "${RINGLET_KVM:-}" ]]; then
		[[ "$RINGLET_KVM" == yes ]] && return
		kvm_says "this machine's KVM is not used, since RINGLET_KVM=$RINGLET_KVM"
		return 1
	fi
	kvm_may_be_opened || return 1
	if timeout -k 5 30 "$ringlet" doctor 2>/dev/null | grep -qE '^ *no +Linux guests'; then
		kvm_says "this machine's KVM does not boot Linux: \`ringlet doctor\` ran a guest that stopped" \
			"at an instruction that Linux needs"
		return 1
	fi
	kept=$RINGLET_CACHE/kvm-boots-linux.$(</proc/sys/kernel/random/boot_id)
	if [[ -e "$kept" ]]; then
		answer=$(<"$kept")
	else
		kernel=$("$stock_images/fetch" default cloud) &&
			initrd=$("$stock_images/initrd" default cloud) || return 1
		# "dHJ1ZQ==" is "true". The outer timeout is for a ringlet that hangs.
		console=$(timeout -k 5 "$((2 * kvm_boot_seconds))" "$ringlet" run -k "$kernel" -i "$initrd" \
			-a rl.cmd=dHJ1ZQ== --timeout "${kvm_boot_seconds}s" -q </dev/null 2>/dev/null) || status=$?
		answer=no
		! grep -q '^RINGLET-GUEST-EXIT 0' <<<"$console" || answer=yes
		# A machine may just have been busy, and a ringlet that did not get as
		# far as a guest has said nothing of KVM.
		if [[ $answer == yes ]] || ((status < 124)); then
			rm -f "$RINGLET_CACHE"/kvm-boots-linux.*
			echo "$answer" >"$kept"
		fi
	fi
	[[ "$answer" != yes ]] || return 0
	case $status in
	124) kvm_says "this machine's KVM did not boot Linux within $kvm_boot_seconds seconds" ;;
	125) kvm_says "a trial of this machine's KVM failed; \`$ringlet doctor\` says more" ;;
	*) kvm_says "this machine's KVM was tried, and does not boot Linux" ;;
	esac
	return 1
}
