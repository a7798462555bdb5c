# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The group of the boot suite that runs the recipes of docs/ci.md, each as it is written there, in a project of a
# script that says where it runs and fails when it is told to. Sourced by tests/boot/inside, after net.sh.

# What stands in single quotes is for other shells; `work`, `host_ns` and so on are the sourcing script's.
# shellcheck disable=SC2016,SC2154,SC2034

recipes=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# recipe [--steps] NAME: as it stands in the document.
recipe() {
	local steps=()
	[ "$1" != --steps ] || { steps=(--steps) && shift; }
	"$recipes/tests/lib/recipe" "${steps[@]}" "$recipes/docs/ci.md" "$1"
}

# A project in $work/NAME, which becomes the working directory, with `ringlet` in PATH, as a user has it. Its tests
# fail where there is a file "fail", and in the part that it names.
project() {
	mkdir -p "$work/$1/.bin"
	cd "$work/$1" || fail "no project"
	ln -sf "$(readlink -f "$ringlet")" .bin/ringlet
	PATH=$PWD/.bin:$PATH
	cat >tests.sh <<-'END'
		echo "tests $* run on $(cat /proc/sys/kernel/random/boot_id), CI=${CI:-}"
		[ ! -e fail ] || [ "$(cat fail)" != "$*" ] || exit 3
	END
}

# As written, but not for ever: bounded SCRIPT ARGUMENT...; its status is in $status.
bounded() {
	status=0
	timeout -k 10 $((patience * 3)) "$@" </dev/null >"$work/out" 2>"$work/err" || status=$?
}

expect_status() {
	[ "$status" = "$1" ] || fail "status $status, not $1: $(tail -n 3 "$work/out" "$work/err" | tr '\n' ' ')"
}

# ran_in_guest FILE [TEXT]: the tests' line, with TEXT in it, was written by another kernel than this one.
ran_in_guest() {
	grep -q "^tests .*run on .*${2:-}" "$1" || fail "no tests ran: $(tail -n 3 "$1" "$work/err" | tr '\n' ' ')"
	! grep -q "$(cat /proc/sys/kernel/random/boot_id)" "$1" || fail "the tests ran on this machine"
}

recipe_make() {
	project make
	recipe makefile >Makefile || fail "no recipe"
	bounded make check
	expect_status 0
	grep -q "$(cat /proc/sys/kernel/random/boot_id)" "$work/out" || fail "make check does not run here"
	bounded make check-vm
	expect_status 0
	ran_in_guest "$work/out"
	: >fail
	bounded make check-vm
	expect_status 2
}

# What a runner does with the steps of a job: a shell for each, which ends at the first command that fails.
run_steps() {
	local step
	status=0
	: >"$work/all"
	while IFS= read -r -d '' step; do
		printf '%s' "$step" >"$work/step"
		bounded "$@" "$work/step"
		cat "$work/out" >>"$work/all"
		[ "$status" = 0 ] || break
	done <"$work/steps"
}

recipe_github() {
	project github
	recipe --steps github >"$work/steps" || fail "no steps"
	[ "$(tr -cd '\0' <"$work/steps" | wc -c)" = 4 ] || fail "there are not four steps to run"
	# Where ringlet is installed nothing is fetched: without these the second step would fail.
	export CI=true RUNNER_TEMP=/nonexistent
	run_steps bash -e
	expect_status 0
	ran_in_guest "$work/all" CI=true
	grep -qx tests.sh "$work/all" || fail "the archive did not come back"
	: >fail
	run_steps bash -e
	expect_status 3
}

recipe_gitlab() {
	project gitlab
	recipe --steps gitlab >"$work/steps" || fail "no steps"
	[ "$(tr -cd '\0' <"$work/steps" | wc -c)" = 1 ] || fail "there is not one job"
	export CI=true
	run_steps sh -e
	expect_status 0
	ran_in_guest reports/tests.txt CI=true
	[ "$(tail -n 1 reports/events.json | grep -c '"exit"')" = 1 ] || fail "the events do not end with the exit"
	: >fail
	run_steps sh -e
	expect_status 3
}

# unit KEY: its value in the unit.
unit() {
	sed -n "s/^$1=//p" "$work/www.service"
}

# A host that passt takes for one: with a way out, which leads nowhere.
lonely_host() {
	ip netns add "$host_ns" 2>/dev/null || skip "no network namespaces here"
	in_host ip link set lo up
	in_host ip link add wire type veth peer name far || skip "no veth here"
	in_host ip addr add 10.88.0.2/24 dev wire
	in_host ip link set wire up
	in_host ip link set far up
	in_host ip route add default via 10.88.0.1
}

recipe_systemd() {
	local pid tries=600 status=0
	project systemd
	[ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null || skip "only root can put a folder at /srv"
	lonely_host
	recipe systemd >"$work/www.service" || fail "no recipe"
	echo "from the host" >"$work/page"
	# systemd looks for programs in folders of its own, which this one is then among.
	if command -v systemd-analyze >/dev/null; then
		unshare -m sh -c 'mount --bind .bin /usr/local/bin && systemd-analyze verify "$1"' sh "$work/www.service" \
			>"$work/out" 2>"$work/err" || fail "systemd does not take it: $(head -n 2 "$work/err" | tr '\n' ' ')"
		[ ! -s "$work/err" ] || fail "systemd says: $(head -n 2 "$work/err" | tr '\n' ' ')"
	fi
	# ExecStart has no quotes or variables, so that a shell reads it as systemd does.
	in_host unshare -m sh -c 'mount -t tmpfs none /srv && mkdir /srv/www && cp "$1" /srv/www/page && eval "exec $2"' sh \
		"$work/page" "$(unit ExecStart)" </dev/null >"$work/out" 2>"$work/err" &
	pid=$!
	children+=("$pid")
	until [ "$(in_host curl -s -m 5 http://127.0.0.1:8080/page 2>/dev/null)" = "from the host" ]; do
		kill -0 "$pid" 2>/dev/null || fail "it ended early: $(head -n 3 "$work/err")"
		((tries-- > 0)) || fail "the page does not come: $(head -n 3 "$work/err")"
		sleep 0.5
	done
	[ "$(unit KillMode)" = mixed ] || fail "KillMode"
	kill -s "$(unit KillSignal | sed 's/^SIG//')" "$pid"
	timeout "$(unit TimeoutStopSec)" tail --pid="$pid" -f /dev/null || fail "it does not end within TimeoutStopSec"
	wait "$pid" || status=$?
	[ "$status" = "$(unit SuccessExitStatus)" ] || fail "status $status is none that SuccessExitStatus names"
}

recipe_parallel() {
	local i expected
	project parallel
	echo 13 >fail
	recipe parallel >"$work/loop" || fail "no recipe"
	bounded sh "$work/loop"
	expect_status 1
	[ "$(cat "$work/out")" = "VM 13 ended with status 3" ] || fail "it says: $(head -n 3 "$work/out" | tr '\n' ' ')"
	for ((i = 1; i <= 20; i++)); do
		expected=0
		((i != 13)) || expected=3
		[ "$(cat "logs/$i.status")" = "$i $expected" ] || fail "VM $i: $(cat "logs/$i.status" "logs/$i.log" | tr '\n' ' ')"
		ran_in_guest "logs/$i.log" "CI="
		grep -q "^tests $i run" "logs/$i.log" || fail "VM $i had another's part: $(head -n 1 "logs/$i.log")"
	done
	# Machines of their own, all of them.
	[ "$(cat logs/*.log | sed -n 's/.* run on \([^,]*\),.*/\1/p' | sort -u | wc -l)" = 20 ] || fail "there are not twenty machines"
}

group_recipes() {
	command -v make >/dev/null && python3 -c 'import yaml' 2>/dev/null ||
		run_case "recipes: what they need" fail "make and python3-yaml are to be installed"
	run_case "recipe: make" recipe_make
	run_case "recipe: GitHub Actions" recipe_github
	run_case "recipe: GitLab CI" recipe_gitlab
	net_case "recipe: systemd" recipe_systemd
	run_case "recipe: many at once" recipe_parallel
}
