# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The groups of the boot suite about `ringlet exec`, sourced by tests/boot/inside. The guest is the default one with the
# trimmed kernel unless a case says otherwise.

# What stands in single quotes is for the guest's shell; `work`, `images` and so on are the sourcing script's.
# shellcheck disable=SC2016,SC2154,SC2034

# ended EXPECTED_STATUS STATUS WORD...: fail unless they are the same.
ended() {
	[ "$1" = "$2" ] || fail "status $2, not $1, of: ringlet exec ${*:3}; $(head -n 3 "$work/err" | tr '\n' ' ')"
}

# in_guest EXPECTED_STATUS ARGUMENT...: `ringlet exec`; what it prints in $work/out and $work/err.
in_guest() {
	local expected=$1 status=0
	shift
	timeout -k 10 $((patience + 60)) "${prefix[@]}" "$ringlet" exec --timeout "${patience}s" "$@" \
		>"$work/out" 2>"$work/err" || status=$?
	ended "$expected" "$status" "$@"
}

printed() {
	[ "$(cat "$work/out")" = "$1" ] || fail "it printed '$(head -c 300 "$work/out")', not '$1'"
}

complained() {
	grep -qF -- "$1" "$work/err" || fail "nothing on stderr about '$1': $(head -c 300 "$work/err")"
}

# Nothing of a VM is left: no process, no file.
nothing_left() {
	local pid name tries=50
	while :; do
		name=
		for pid in /proc/[0-9]*; do
			case $(readlink "$pid/exe" 2>/dev/null) in
			"$(readlink -f "$ringlet")" | */virtiofsd | */passt*) name+=" ${pid#/proc/}:$(cat "$pid/comm" 2>/dev/null)" ;;
			esac
		done
		[ -n "$name" ] || break
		((tries-- > 0)) || fail "still there:$name"
		sleep 0.1
	done
	[ -z "$(find "${TMPDIR:-/tmp}" /var/tmp -maxdepth 1 -iname '*ringlet*' ! -path "$work" ! -name 'ringlet-hostvm.*' -newer "$work/began" 2>/dev/null)" ] ||
		fail "files are left in ${TMPDIR:-/tmp}"
}

# --- the command line, as people use it ---

exec_uname() {
	in_guest 0 -- uname -s </dev/null
	printed Linux
	[ ! -s "$work/err" ] || fail "it says on stderr: $(head -n 3 "$work/err")"
}

exec_default_guest() {
	local RINGLET_GUEST=
	unset RINGLET_GUEST
	RINGLET_CACHE=$images/cache in_guest 0 -- sh -c 'echo $((6 * 7)); id -u' </dev/null
	printed $'42\n0'
}

exec_statuses() {
	in_guest 0 -- true </dev/null
	in_guest 7 -- sh -c 'exit 7' </dev/null
	in_guest 137 -- sh -c 'kill -9 $$' </dev/null
	in_guest 127 -- no-such-command </dev/null
	complained "no command 'no-such-command'"
	in_guest 126 -- /etc/passwd </dev/null
	complained "cannot run '/etc/passwd'"
	in_guest 126 --workdir /nowhere -- true </dev/null
	complained "working directory"
}

exec_outputs() {
	in_guest 3 -- sh -c 'echo one; echo two >&2; printf three; echo four >/dev/stderr; exit 3' </dev/null
	printed $'one\nthree'
	[ "$(cat "$work/err")" = $'two\nfour' ] || fail "stderr is '$(cat "$work/err")'"
}

exec_inputs() {
	in_guest 0 -- wc -c </dev/null
	printed 0
	in_guest 0 -- wc -c <&-
	printed 0
	printf 'a\0b\r\n\xff' >"$work/binary"
	in_guest 0 -- od -An -tx1 <"$work/binary"
	printed " 61 00 62 0d 0a ff"
	in_guest 0 -- cat < <(echo piped)
	printed piped
	# A pipe that nobody ever closes, and a command that does not read it.
	mkfifo "$work/never"
	in_guest 0 -- echo ended <>"$work/never"
	printed ended
	# One that stops reading early.
	in_guest 0 -- head -n 2 < <(yes)
	printed $'y\ny'
}

exec_settings() {
	in_guest 0 --env COLOUR=blue --env 'EMPTY=' --workdir /tmp --user 1000:1000 --name box -- \
		sh -c 'echo $COLOUR,$EMPTY,$PWD,$(id -u),$(id -g),$(hostname)' </dev/null
	printed "blue,,/tmp,1000,1000,box"
	in_guest 125 --user nobody-at-all -- true </dev/null
	complained nobody-at-all
	in_guest 0 -- printf '%s|' 'a b' '' '$x' "it's" </dev/null
	printed "a b||\$x|it's|"
}

exec_orphans() {
	in_guest 4 -- sh -c '(sleep 1000 &) ; sleep 1000 & echo gone; exit 4' </dev/null
	printed gone
}

exec_broken_pipe() {
	local status
	timeout 300 "$ringlet" exec --timeout "${patience}s" -- sh -c 'yes; echo $? >&2' </dev/null 2>"$work/err" | head -n 1 >"$work/out"
	status=${PIPESTATUS[0]}
	printed y
	# The shell in the guest goes on, and says what killed yes.
	ended 0 "$status"
	complained 141
	status=0
	timeout 300 "$ringlet" exec --timeout "${patience}s" -- sh -c 'yes; true' </dev/null 2>"$work/err" >/dev/full || status=$?
	ended 125 "$status"
	complained "No space left"
	status=0
	timeout 300 "$ringlet" exec --timeout "${patience}s" -- sh -c 'echo lost; exit 3' </dev/null 2>"$work/err" >&- || status=$?
	ended 125 "$status"
	complained "Bad file descriptor"
	# What is not written is not missed.
	status=0
	timeout 300 "$ringlet" exec --timeout "${patience}s" -- sh -c 'exit 3' </dev/null 2>"$work/err" >&- || status=$?
	ended 3 "$status"
}

exec_timeout() {
	patience=12 in_guest 124 -- sleep 1000 </dev/null
	complained "while the command was running"
	patience=12 in_guest 124 -- cat <>"$work/never"
}

# signalled SIGNAL COMMAND: the command is sent SIGNAL once it has said that it runs; the status is in $status.
signalled() {
	local pid i
	status=0
	: >"$work/out"
	env --default-signal=INT "$ringlet" exec --timeout "${patience}s" -- sh -c "$2" </dev/null >"$work/out" 2>"$work/err" &
	pid=$!
	children+=("$pid")
	for ((i = 0; i < 600; i++)); do
		grep -q ready "$work/out" && break
		sleep 0.1
	done
	kill -"$1" "$pid"
	[ -z "${3:-}" ] || { sleep 2 && kill -"$3" "$pid"; }
	wait "$pid" || status=$?
}

exec_signals() {
	signalled TERM 'trap "echo caught; exit 9" TERM; echo ready; while :; do sleep 0.1; done'
	ended 9 "$status"
	printed $'ready\ncaught'
	signalled INT 'echo ready; exec sleep 1000'
	ended 130 "$status"
	# The second one ends the machine.
	signalled INT 'trap "" INT; echo ready; while :; do sleep 0.1; done' TERM
	ended 143 "$status"
}

exec_terminal() {
	local status=0
	cat >"$work/guest.sh" <<-'END'
		tty
		[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all
		stty size
		until [ "$(stty size)" = '44 111' ]; do sleep 0.2; done
		echo resized
		exit 5
	END
	# The window has another size as soon as the guest has shown that it knows the first one.
	cat >"$work/host.sh" <<-END
		stty rows 33 cols 99
		(until grep -q '33 99' '$work/out'; do sleep 0.2; done; stty rows 44 cols 111 </dev/tty) &
		exec '$ringlet' exec --timeout ${patience}s -t -- sh -c "\$(cat '$work/guest.sh')"
	END
	timeout 300 script -qec "sh '$work/host.sh'" /dev/null </dev/null >"$work/out" 2>"$work/err" || status=$?
	ended 5 "$status" -t
	tr -d '\r' <"$work/out" >"$work/out.text"
	grep -q '/dev/pts/' "$work/out.text" || fail "no terminal: $(cat "$work/out.text")"
	grep -qx all "$work/out.text" || fail "not all three: $(cat "$work/out.text")"
	grep -qx resized "$work/out.text" || fail "it did not follow: $(cat "$work/out.text")"
}

group_exec() {
	run_case "exec: uname" exec_uname
	run_case "exec: the default guest, where it is kept" exec_default_guest
	run_case "exec: the status is the command's" exec_statuses
	run_case "exec: outputs apart" exec_outputs
	run_case "exec: every kind of input" exec_inputs
	run_case "exec: variables, directory, user, name" exec_settings
	run_case "exec: what the command leaves behind does not hold it up" exec_orphans
	run_case "exec: a reader that goes, a full disk, a closed output" exec_broken_pipe
	run_case "exec: the timeout" exec_timeout
	run_case "exec: signals" exec_signals
	run_case "exec: a terminal" exec_terminal
	run_case "exec: nothing is left" nothing_left
}

# --- much, and many ---

exec_data() {
	local sum status=0
	head -c 268435456 /dev/urandom >"$work/big"
	sum=$(sha256sum <"$work/big")
	in_guest 0 -- sha256sum <"$work/big"
	printed "$sum"
	in_guest 0 -- sh -c 'echo beside >&2; cat' <"$work/big"
	[ "$(sha256sum <"$work/out")" = "$sum" ] || fail "what came out is not what went in"
	[ "$(cat "$work/err")" = beside ] || fail "stderr is '$(head -c 200 "$work/err")'"
	rm -f "$work/big" "$work/out"
}

exec_hundred() {
	local wrong
	seq 0 99 | xargs -P 4 -I N sh -c '"$0" exec --timeout 300s -m 128M -- sh -c "exit N" </dev/null 2>"$1/err.N"; s=$?
		[ "$s" = N ] || { echo "N gave $s" && cat "$1/err.N"; }' "$ringlet" "$work" >"$work/wrong"
	wrong=$(grep -c ' gave ' "$work/wrong")
	cp "$work/wrong" "$work/err"
	[ "$wrong" = 0 ] || fail "$wrong of 100: $(head -n 1 "$work/wrong")"
	nothing_left
}

exec_fifty() {
	local i pids=() ready status
	for ((i = 0; i < 50; i++)); do
		"$ringlet" exec --timeout 1000s -m 128M -- sh -c "echo ready; cat; exit $i" <>"$work/hold" >"$work/out.$i" 2>"$work/err.$i" &
		pids+=("$!")
		children+=("$!")
		# All at once would only make them wait for each other.
		((i % 4 != 3)) || wait_for_ready $((i + 1))
	done
	wait_for_ready 50
	for ((i = 0; i < 50; i++)); do
		kill -0 "${pids[$i]}" 2>/dev/null || fail "VM $i has gone: $(head -n 2 "$work/err.$i")"
	done
	echo "# 50 VMs: $(awk '/MemTotal/ { t = $2 } /MemAvailable/ { a = $2 } END { print int((t - a) / 1024) }' /proc/meminfo) MiB in use"
	for ((i = 0; i < 50; i++)); do
		kill -TERM "${pids[$i]}"
	done
	for ((i = 0; i < 50; i++)); do
		status=0
		wait "${pids[$i]}" || status=$?
		[ "$status" = 143 ] || fail "VM $i ended with $status: $(head -n 2 "$work/err.$i")"
	done
	nothing_left
}

# At least this many of the fifty have said that they run.
wait_for_ready() {
	local tries=3000
	until [ "$(cat "$work"/out.* | grep -c ready)" -ge "$1" ]; do
		((tries-- > 0)) || fail "$(cat "$work"/out.* | grep -c ready) of $1 came up: $(cat "$work"/err.* | head -n 3)"
		sleep 0.2
	done
}

group_exec_data() {
	# A quarter of a gibibyte takes an emulated host minutes, and a busy machine's more.
	patience=800
	run_case "exec: 256 MiB in and out" exec_data
}

group_exec_many() {
	run_case "exec: 100 commands, four at a time" exec_hundred
	mkfifo "$work/hold"
	run_case "exec: 50 VMs at once" exec_fifty
}

# --- root file systems and directories ---

exec_image() {
	cp --sparse=always "$images/root.img" "$work/disk.img"
	in_guest 0 --image "$work/disk.img" -- sh -c 'grep -q " / ext4 rw" /proc/mounts && echo kept >/kept' </dev/null
	e2fsck -fn "$work/disk.img" >"$work/fsck" 2>&1 || fail "e2fsck: $(tail -n 2 "$work/fsck")"
	[ "$(debugfs -R 'cat /kept' "$work/disk.img" 2>/dev/null)" = kept ] || fail "the image does not hold what was written"
	in_guest 1 --image "$work/disk.img,ro" -- sh -c 'echo no >/kept' </dev/null
}

exec_ephemeral() {
	local sum i pids=() status=0
	cp --sparse=always "$images/root.img" "$work/disk.img"
	chmod 444 "$work/disk.img"
	sum=$(sha256sum "$work/disk.img")
	for ((i = 0; i < 3; i++)); do
		"$ringlet" exec --timeout "${patience}s" --image "$work/disk.img,ephemeral" -- \
			sh -c "echo $i >/own && sync && sleep 5 && cat /own" </dev/null >"$work/out.$i" 2>"$work/err.$i" &
		pids+=("$!")
	done
	for ((i = 0; i < 3; i++)); do
		wait "${pids[$i]}" || status=$?
		[ "$(cat "$work/out.$i")" = "$i" ] || fail "VM $i reads '$(cat "$work/out.$i")': $(head -n 2 "$work/err.$i")"
	done
	ended 0 "$status" "--image ...,ephemeral"
	[ "$(sha256sum "$work/disk.img")" = "$sum" ] || fail "the image has changed"
	[ "$(find "$work" -name '*disk*' | wc -l)" = 1 ] || fail "a file is left beside the image"
}

exec_shares() {
	mkdir -p "$work/shared/sub"
	echo from the host >"$work/shared/file"
	in_guest 0 --share "$work/shared:/mnt/there" --workdir /mnt/there -- \
		sh -c 'cat file && echo from the guest >sub/new && ln -s file link && chmod 750 sub' </dev/null
	printed "from the host"
	[ "$(cat "$work/shared/sub/new")" = "from the guest" ] || fail "the guest's file did not arrive"
	[ "$(stat -c %a "$work/shared/sub")" = 750 ] || fail "the guest's chmod did not arrive"
	in_guest 0 --share "$work/shared:/a:ro" --share "$work/shared:/b" -- \
		sh -c 'cat /a/file; echo x 2>/dev/null >/a/no && exit 1; mount -o remount,rw /a; echo x 2>/dev/null >/a/no && exit 2; echo y >/b/yes' </dev/null
	[ -e "$work/shared/yes" ] && [ ! -e "$work/shared/no" ] || fail "read-only is not what it says"
	in_guest 125 --share "$work/nowhere:/a" -- true </dev/null
	complained nowhere
	nothing_left
}

# Any tree will do, be it as small as this one; what the guest writes there is the guest's.
exec_tree() {
	mkdir -p "$work/tree/bin" "$work/tree/etc"
	cp "$(command -v busybox)" "$work/tree/bin/busybox"
	ln -s busybox "$work/tree/bin/sh"
	echo from the tree >"$work/tree/etc/motto"
	in_guest 0 --root "$work/tree" -- sh -c '
		cat /etc/motto && echo gone >/etc/motto && cat /etc/motto && busybox mkdir /new &&
			busybox grep -q "^MemTotal" /proc/meminfo && [ -c /dev/null ]' </dev/null
	printed $'from the tree\ngone'
	[ "$(cat "$work/tree/etc/motto")" = "from the tree" ] || fail "the host's file has changed"
	[ ! -e "$work/tree/new" ] || fail "the host's tree was written"
}

# A thousand files made in a share, read on both sides.
exec_many_files() {
	mkdir "$work/many"
	in_guest 0 --share "$work/many:/many" -m 256M -- sh -c '
		cd /many && i=0
		while [ $i -lt 1000 ]; do echo $i >f$i; i=$((i + 1)); done
		cat f* | sha256sum' </dev/null
	[ "$(cat "$work/out")" = "$(cd "$work/many" && cat f* | sha256sum)" ] || fail "not the same files on both sides"
}

# exec_unit_suite [TEST]...: the tree of this machine as the guest's, which has a compiler, and the project's unit suite,
# or these of it, built and run on a shared checkout as a user would.
exec_unit_suite() {
	local source wanted=$# tests=("$@")
	source=$(cd "$(dirname "$0")/../.." && pwd)
	if [ $# = 0 ]; then
		tests=(--suite unit)
		wanted=$(sed -n "/^unit_tests = {/,/^}/ s/^  '\([a-z0-9_]*\)': .*/\1/p" "$source/tests/unit/meson.build" | wc -l)
	fi
	mkdir "$work/src"
	(cd "$source" && tar cf - --exclude './build*' --exclude ./.git .) | tar xf - -C "$work/src"
	# A test's own limit is meant for machines that nobody emulates.
	patience=3500 in_guest 0 -m 2G --root / --share "$work/src:/src" --workdir /src -- \
		sh -c 'meson setup -Dbuildtype=plain /tmp/build && exec meson test -C /tmp/build -t 20 "$@"' sh "${tests[@]}" </dev/null
	# A guest may have no taps, say: a few may be skipped.
	awk -v wanted="$wanted" '/^Ok:/ { ok = $2 } /^Skipped:/ { skipped = $2 }
		END { exit !(ok + skipped == wanted && ok >= wanted * 0.9) }' "$work/out" ||
		fail "not $wanted tests: $(tail -n 12 "$work/out" | tr '\n' ' ')"
	[ ! -e /tmp/build ] || fail "the root was written"
}

# Rootless: as nobody, in a user namespace of its own.
exec_rootless() {
	local prefix=(setpriv --reuid 65534 --regid 65534 --clear-groups --)
	unshare -U true 2>/dev/null || skip "no user namespaces here"
	[ "$(id -u)" = 0 ] || skip "only root can become another user"
	chmod 666 /dev/kvm
	# The images may lie where only root gets to, and so may the program.
	mkdir "$work/theirs" "$work/guest"
	cp "$RINGLET_GUEST/kernel" "$RINGLET_GUEST/initrd" "$work/guest"
	cp "$ringlet" "$work/ringlet"
	local RINGLET_GUEST=$work/guest ringlet=$work/ringlet
	chmod -R a+rX "$work/guest" "$work/ringlet"
	chown 65534:65534 "$work/theirs"
	chmod 755 "$work"
	in_guest 0 --share "$work/theirs:/there" -- sh -c 'id -u; echo mine >/there/file' </dev/null
	printed 0
	[ "$(stat -c %u "$work/theirs/file")" = 65534 ] || fail "the file is another's"
	# A root of other people's files: they can be run, read and changed, and stay as they are.
	mkdir -p "$work/roots/bin" "$work/roots/etc"
	cp "$(command -v busybox)" "$work/roots/bin/busybox"
	ln -s busybox "$work/roots/bin/sh"
	echo ours >"$work/roots/etc/motto"
	chmod -R a+rX "$work/roots"
	in_guest 0 --root "$work/roots" -- sh -c 'cat /etc/motto && echo theirs >>/etc/motto && cat /etc/motto &&
		echo new >/new && busybox chmod 700 /new && busybox ls /etc' </dev/null
	printed $'ours\nours\ntheirs\nmotto'
	[ "$(cat "$work/roots/etc/motto")" = ours ] || fail "the host's file has changed"
	in_guest 0 --root / -- sh -c 'head -c 4 /bin/sh | od -An -c' </dev/null
	printed ' 177   E   L   F'
}

exec_stock() {
	in_guest 0 -k "$images/6.1-cloud/vmlinuz" -i "$images/6.1-cloud/initrd" --image "$images/root.img,ephemeral" \
		--share "$work:/there:ro" -- sh -c 'uname -r; ls /there | grep -c began' </dev/null
	grep -q '^6\.1\.' "$work/out" && grep -qx 1 "$work/out" || fail "it printed '$(cat "$work/out")'"
}

group_exec_roots() {
	run_case "exec: a disk image" exec_image
	run_case "exec: ephemeral disks share an image" exec_ephemeral
	run_case "exec: shared directories" exec_shares
	run_case "exec: a thousand files in a share" exec_many_files
	run_case "exec: a tree of the host as root" exec_tree
	run_case "exec: without rights" exec_rootless
	run_case "exec: Debian's kernel and initrd" exec_stock
	run_case "exec: nothing is left" nothing_left
}

group_exec_build() {
	run_case "exec: the project's own unit suite with / as root and a share" exec_unit_suite
}

# For who has no hour.
group_exec_build_part() {
	run_case "exec: a part of the project's own unit suite with / as root and a share" \
		exec_unit_suite util parse iov error virtqueue options
}

# --- every way of dying ---

dies_by_panic() {
	in_guest 123 -- sh -c 'echo before; echo c >/proc/sysrq-trigger; sleep 100' </dev/null
	printed before
	complained "while the command was running"
	complained "Kernel panic"
	# An oops is one, too: a guest that goes on without a task may never end.
	in_guest 0 -- grep -qx 1 /proc/sys/kernel/panic_on_oops </dev/null
}

dies_by_poweroff() {
	in_guest 123 -- sh -c 'echo o >/proc/sysrq-trigger; sleep 100' </dev/null
	complained "switched itself off"
}

dies_of_memory() {
	in_guest 137 -m 128M -- sh -c 'exec tail /dev/zero' </dev/null
}

survives_kill_of_init() {
	in_guest 0 -- sh -c 'kill -9 1; sleep 1; echo on' </dev/null
	printed on
}

dies_without_init() {
	in_guest 123 -a "rdinit=/nothing/there init=/nothing/there" -- true </dev/null
	complained "before its init answered"
}

hangs() {
	patience=15 in_guest 124 -a "rdinit=/bin/busybox -- sleep 1000" -- true </dev/null
}

dies_with_ringlet() {
	local pid i
	mkdir -p "$work/shared"
	"${prefix[@]}" "$ringlet" exec --timeout 300s --net user --share "$work/shared:/there" --disk "$images/root.img,ephemeral" -- \
		sh -c 'echo ready; sleep 1000' </dev/null >"$work/out" 2>"$work/err" &
	pid=$!
	for ((i = 0; i < 900; i++)); do
		grep -q ready "$work/out" && break
		kill -0 "$pid" 2>/dev/null || fail "it ended early: $(head -n 3 "$work/err")"
		sleep 0.1
	done
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	nothing_left
}

# helper_dies NAME EXPECTED_STATUS COMMAND OPTION...: the helper NAME is killed while the command runs.
helper_dies() {
	local helper=$1 expected=$2 command=$3 pid i status=0 victim
	shift 3
	mkdir -p "$work/shared"
	: >"$work/out"
	"${prefix[@]}" "$ringlet" exec --timeout "${patience}s" "$@" -- sh -c "echo ready; $command" </dev/null >"$work/out" 2>"$work/err" &
	pid=$!
	children+=("$pid")
	for ((i = 0; i < 900; i++)); do
		grep -q ready "$work/out" && break
		kill -0 "$pid" 2>/dev/null || fail "it ended early: $(head -n 3 "$work/err")"
		sleep 0.1
	done
	victim=$(pgrep "$helper" | head -n 1)
	[ -n "$victim" ] || fail "there is no $helper"
	pkill -KILL "$helper"
	wait "$pid" || status=$?
	ended "$expected" "$status" "$@"
	complained "$helper"
}

host_disk_full() {
	mkdir -p "$work/small"
	mount -t tmpfs -o size=8M none "$work/small" || skip "cannot mount a tmpfs"
	truncate -s 64M "$work/small/disk"
	# A write that the host has no room for is an error of the guest's command, and no more.
	in_guest 1 --disk "$work/small/disk" -- sh -c 'dd if=/dev/zero of=/dev/vda bs=1M count=32 oflag=direct 2>/dev/null' </dev/null
	complained "disk0: "
	complained "No space left"
	umount "$work/small"
}

group_exec_deaths() {
	run_case "exec: a panic is status 123, with the console's last words" dies_by_panic
	run_case "exec: a power-off is status 123" dies_by_poweroff
	run_case "exec: out of memory is the command's SIGKILL" dies_of_memory
	run_case "exec: init cannot be killed" survives_kill_of_init
	run_case "exec: a guest without an init" dies_without_init
	run_case "exec: a guest that hangs" hangs
	passt_case "exec: ringlet killed" with_passt dies_with_ringlet
	run_case "exec: virtiofsd killed" helper_dies virtiofsd 125 'sleep 1000' --share "$work/shared:/there"
	passt_case "exec: passt killed" with_passt helper_dies passt 6 'sleep 3; exit 6' --net user
	run_case "exec: a full disk of the host" host_disk_full
	run_case "exec: nothing is left" nothing_left
}

# --- for scripts ---

exec_events() {
	in_guest 7 --events "$work/events" --name box --pidfile "$work/pid" -- sh -c 'exit 7' </dev/null
	[ ! -e "$work/pid" ] || fail "the pidfile is left"
	python3 - "$work/events" <<-'END' || fail "the events are not what docs/events.md says: $(cat "$work/events")"
		import json, sys
		events = [json.loads(line) for line in open(sys.argv[1])]
		kinds = [event["event"] for event in events]
		assert kinds == ["started", "kernel-loaded", "guest-booted", "guest-ready", "console-closed", "exit"], kinds
		times = [event["us"] for event in events]
		assert times == sorted(times), times
		assert events[0]["name"] == "box" and events[0]["command"] == "exec"
		assert events[-1]["reason"] == "command" and events[-1]["status"] == 7
	END
}

exec_descriptors() {
	in_guest 0 --kernel fd=5 --initrd fd=6 --events fd=7 --share fd=8:/there -- cat /there/began </dev/null \
		5<"$RINGLET_GUEST/kernel" 6<"$RINGLET_GUEST/initrd" 7>"$work/events" 8<"$work"
	grep -q '"exit"' "$work/events" || fail "no events by descriptor"
}

exec_config() {
	"$ringlet" exec --print-config -m 200M --env A=1 --env B=2 -- sh -c 'echo $A$B' >"$work/config" || fail "no config"
	in_guest 0 --config "$work/config" </dev/null
	printed 12
}

# with_passt FUNCTION ARGUMENT...: on a host whose network passt can use.
with_passt() {
	passt_start
	prefix=(ip netns exec "$host_ns")
	"$@"
}

exec_network() {
	in_guest 0 --net user -- sh -c 'ip -4 addr show dev eth0 | grep -o "10.88.0.2/24"; cat /etc/resolv.conf; ip route | grep -c ^default' </dev/null
	grep -qx 10.88.0.2/24 "$work/out" && grep -q '^nameserver' "$work/out" && grep -qx 1 "$work/out" ||
		fail "it printed '$(cat "$work/out")'; $(cat "$work/err")"
}

group_exec_scripts() {
	run_case "exec: events" exec_events
	run_case "exec: descriptors in place of paths" exec_descriptors
	run_case "exec: a config file" exec_config
	passt_case "exec: a network" with_passt exec_network
}
