# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Debian packages, for scripts that are run straight after a clone: install
# what is missing when we may, and otherwise say in one line what to install.
# To be sourced; every function may end the calling script.

# Debian's users have no sbin in their PATH, and depmod and mke2fs are there.
PATH=$PATH:/usr/sbin:/sbin

packages_fail() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

package_installed() {
	[[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}

# The prefix that turns a command into root's; fails when there is none.
as_root() {
	if ((EUID == 0)); then
		"$@"
	else
		sudo -n "$@"
	fi
}

# Refresh apt's lists, at most once in a run of a script.
packages_update() {
	[[ -z "${packages_updated:-}" ]] || return 0
	packages_updated=yes
	as_root apt-get -q update >&2 || echo "${0##*/}: apt-get update failed, going on with the old lists" >&2
}

# need_packages PACKAGE...: have them installed, or end the script.
need_packages() {
	local package missing=()
	for package; do
		package_installed "$package" || missing+=("$package")
	done
	((${#missing[@]})) || return 0
	command -v apt-get >/dev/null ||
		packages_fail "this needs a Debian machine with: ${missing[*]}"
	as_root true 2>/dev/null ||
		packages_fail "packages are missing; as root: apt-get install --no-install-recommends ${missing[*]}"
	packages_update
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
		--no-install-recommends "${missing[@]}" >&2 ||
		packages_fail "apt-get could not install: ${missing[*]}"
}

# package_candidate PACKAGE: the version apt would install, or nothing.
package_candidate() {
	local version
	version=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p')
	[[ "$version" == '(none)' ]] || printf '%s\n' "$version"
}

# Where there is a virtiofsd; fails when there is none.
virtiofsd_place() {
	local place
	for place in /usr/libexec/virtiofsd /usr/lib/qemu/virtiofsd; do
		[[ ! -x $place ]] || { echo "$place" && return; }
	done
	return 1
}

# need_virtiofsd: have it installed. Since Debian 13 it is a package of its own.
need_virtiofsd() {
	local package=qemu-system-common
	! virtiofsd_place >/dev/null || return 0
	[[ -n "$(package_candidate "$package")" ]] || packages_update
	[[ -z "$(package_candidate virtiofsd)" ]] || package=virtiofsd
	need_packages "$package"
	virtiofsd_place >/dev/null || packages_fail "there is no virtiofsd in the package $package"
}

# unpack_package PACKAGE VERSION DIR: download a package and unpack its files
# under DIR without installing it.
unpack_package() {
	local package=$1 version=$2 into=$3 download
	mkdir -p "$into"
	download=$(mktemp -d "$into/.download.XXXXXX")
	# apt drops to the user _apt for a download, and warns when it cannot write.
	(cd "$download" && apt-get -q -o APT::Sandbox::User=root download "$package=$version" >&2) ||
		packages_fail "apt-get could not download $package=$version; its lists may be old: as root, apt-get update"
	dpkg-deb -x "$download"/*.deb "$into"
	rm -rf "$download"
}
