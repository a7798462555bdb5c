# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the checks of the style suite share: the list of files they look at, and the words in which they answer.
# Sourced by each check, which is called as CHECK BUILD_FOLDER and ends with 0 (fine), 1 (found something) or 77
# (a tool is missing, with the reason on its last line).
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# shellcheck disable=SC2034  # for the checks
build=${1:-}
findings=0

skip() {
	printf 'skipped: %s\n' "$*" >&2
	exit 77
}

finding() {
	printf '%s\n' "$*" >&2
	findings=$((findings + 1))
}

# The last line of every check.
finish() {
	((findings == 0)) || printf '%d found\n' "$findings" >&2
	exit $((findings > 0))
}

# files PATTERN...: the project's files whose names match (git's patterns, where * also matches /), that is the
# tracked ones; without git, as in a release archive, all of them but what is built.
files() {
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git ls-files -- "$@" | while IFS= read -r file; do
			[ ! -f "$file" ] || printf '%s\n' "$file"
		done
	else
		local pattern arguments=(-false)
		for pattern; do
			arguments+=(-o -path "./$pattern")
		done
		find . \( -path './build*' -o -path ./.cache \) -prune -o -type f \( "${arguments[@]}" \) -print | sed 's,^\./,,' | sort
	fi
}

# Scripts have no common ending; their first line tells them.
script_files() {
	files '*' | while IFS= read -r file; do
		case $file in
		*.c | *.h | *.S | *.md | *.build) ;;
		*) head -c 32 "$file" | head -n 1 | grep -qaE '^#!/bin/(ba)?sh' && printf '%s\n' "$file" ;;
		esac
	done
}
