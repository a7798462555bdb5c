# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The parts that initrds are put together from: static busybox, modules in the
# order in which they load, programs with the libraries they need. To be
# sourced, together with packages.sh.

# shellcheck disable=SC2034 # for those who source this
initrd_packages=(binutils busybox-static cpio kmod xz-utils)

# initrd_busybox TREE [BUSYBOX]: a static busybox, this machine's unless named, that finds all its commands by name.
initrd_busybox() {
	local tree=$1 busybox=${2:-}
	# Debian 12 has it in /bin, and /bin may be /usr/bin.
	[[ "$busybox" ]] || busybox=$(command -v busybox) || busybox=/bin/busybox
	mkdir -p "$tree"/{bin,dev,etc,mnt,proc,root,run,sys,tmp}
	install -m 755 "$busybox" "$tree/bin/busybox"
	"$busybox" --list | while read -r name; do
		[[ "$name" == busybox ]] || ln -s busybox "$tree/bin/$name"
	done
	ln -s bin "$tree/sbin"
}

# initrd_modules TREE KERNEL RELEASE MODULE...: put the modules, and before each
# what it depends on, into TREE/modules as 001-name.ko and so on, unpacked. What
# is built into this kernel is left out; what it has not at all is an error,
# unless the name has a "?" at its end.
initrd_modules() {
	local tree=$1 kernel=$2 release=$3 module kind path number=0 name
	local -A seen=()
	shift 3
	mkdir -p "$tree/modules"
	for module; do
		if ! modprobe -d "$kernel" -S "$release" --show-depends "${module%\?}" >"$tree/modules/.depends" 2>/dev/null; then
			[[ "$module" == *\? ]] || packages_fail "$release has no module $module"
			continue
		fi
		while read -r kind path _; do
			[[ "$kind" == insmod && -z "${seen[$path]:-}" ]] || continue
			seen[$path]=yes
			name=${path##*/}
			number=$((number + 1))
			case $name in
			*.ko) cat "$path" ;;
			*.ko.xz) xz -dc "$path" ;;
			*.ko.zst) zstd -dqc "$path" ;;
			*) packages_fail "$path: what sort of module is this?" ;;
			esac >"$tree/modules/$(printf %03d "$number")-${name%%.ko*}.ko"
		done <"$tree/modules/.depends"
	done
	rm -f "$tree/modules/.depends"
}

# initrd_program TREE FILE...: copy programs to TREE/usr/bin, and the shared
# libraries that the loader would give them to where it finds them.
initrd_program() {
	local tree=$1 program file
	shift
	mkdir -p "$tree/usr/bin"
	for program; do
		cp -L "$program" "$tree/usr/bin/"
		# Static programs have none, which ldd calls an error.
		{ ldd "$program" 2>/dev/null || true; } |
			sed -nE 's/^(.* => )?[[:space:]]*(\/[^ ]+) \(0x.*/\2/p' |
			while IFS= read -r file; do
				[[ ! -e "$tree$file" ]] || continue
				mkdir -p "$tree${file%/*}"
				cp -L "$file" "$tree$file"
			done
	done
}

# initrd_pack TREE FILE: not compressed, because a guest unpacks slower than it
# copies, and owned by root whoever built it.
initrd_pack() {
	local tree=$1 file
	file=$(realpath -m "$2")
	(cd "$tree" && find . -print0 | LC_ALL=C sort -z |
		cpio --null --quiet --create --format=newc --owner=+0:+0) >"$file.partial"
	mv "$file.partial" "$file"
}
