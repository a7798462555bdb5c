# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The cache of things that are slow to make and are no part of the source tree:
# kernels, initrds, disk images. An entry is a directory that appears whole or
# not at all, and that two scripts never build at the same time. To be sourced.

# A builder that fails inside $(cache_entry ...) must end the script as well.
shopt -s inherit_errexit

RINGLET_CACHE=${RINGLET_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/ringlet}
export RINGLET_CACHE

# hash_of FILE-OR-WORD...: a short name for exactly these contents and words.
hash_of() {
	local thing
	for thing; do
		if [[ -f "$thing" ]]; then
			cat "$thing"
		else
			printf '%s\n' "$thing"
		fi
	done | sha256sum | cut -c1-16
}

# cache_entry NAME BUILDER ARG...: print the path of the entry NAME. When it is
# not there yet, "BUILDER PARTIAL-DIR ARG..." fills a directory that then takes
# its place. The lock makes whoever comes second wait, and makes a PARTIAL-DIR
# that is found lying about a dead builder's.
cache_entry() {
	local name=$1 builder=$2
	shift 2
	local entry=$RINGLET_CACHE/$name
	if [[ ! -d "$entry" ]]; then
		mkdir -p "$RINGLET_CACHE/.locks"
		(
			flock 9
			if [[ ! -d "$entry" ]]; then
				rm -rf "$entry.partial"
				mkdir "$entry.partial"
				"$builder" "$entry.partial" "$@" >&2
				mv "$entry.partial" "$entry"
			fi
		) 9>"$RINGLET_CACHE/.locks/$name"
	fi
	printf '%s\n' "$entry"
}
