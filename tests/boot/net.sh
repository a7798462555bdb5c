# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The network groups of the boot suite, sourced by tests/boot/inside. The other hosts are network namespaces made
# here: a VM's tap lies in one of them, together with the servers it talks to. Nothing leaves this machine.

# What stands in single quotes is for the guest's shell; `work`, `images` and so on are the sourcing script's.
# shellcheck disable=SC2016,SC2154,SC2034

host_ns=rl-host

in_host() {
	ip netns exec "$host_ns" "$@"
}

# A namespace with a tap `rl0` that is 10.77.0.1, an HTTP and an iperf3 server behind it. Arguments go to ip tuntap.
net_start() {
	ip netns add "$host_ns" 2>/dev/null || skip "no network namespaces here"
	in_host ip link set lo up
	in_host ip tuntap add dev rl0 mode tap vnet_hdr "$@" || skip "no taps here"
	in_host ip addr add 10.77.0.1/24 dev rl0
	in_host ip link set rl0 up
	mkdir -p "$work/www"
	head -c 3000000 /dev/urandom >"$work/www/file"
	in_host busybox httpd -f -p 10.77.0.1:8080 -h "$work/www" &
	echo $! >>"$work/servers"
	in_host iperf3 -s -B 10.77.0.1 >/dev/null 2>&1 &
	echo $! >>"$work/servers"
}

net_stop() {
	local pid
	while read -r pid; do
		kill -TERM "$pid"
	done 2>/dev/null <"$work/servers"
	rm -f "$work/servers"
	ip netns pids "$host_ns" 2>/dev/null | xargs -r kill -KILL
	ip netns del "$host_ns" 2>/dev/null
}

# net_case NAME FUNCTION ARGUMENT...: with servers started before, and everything gone after, whatever happens.
net_case() {
	local name=$1
	shift
	: >"$work/servers"
	run_case "$name" "$@"
	net_stop
}

# net_kernel KERNEL: sets `tools` to the options that boot it with network tools.
net_kernel() {
	if [ "$1" = trimmed ]; then
		tools=(-k "$images/bzImage" -i "$images/net.cpio")
	else
		tools=(-k "$images/$1/vmlinuz" -i "$images/$1/net-initrd")
	fi
}

# networked KERNEL COMMAND ARGUMENT...: a guest with 10.77.0.2 on its eth0 runs COMMAND and powers off.
networked() {
	local kernel=$1 command=$2
	shift 2
	net_kernel "$kernel"
	prefix=(ip netns exec "$host_ns")
	boot 0 "${tools[@]}" -m 768M -a "quiet rl.cmd=$(encode "
		set -e
		ip addr add 10.77.0.2/24 dev eth0
		ip link set eth0 up
		i=0; until ping -c 1 -W 1 10.77.0.1 >/dev/null; do i=\$((i + 1)); [ \$i -lt 20 ]; done
		$command
	")" "$@"
	guest_succeeded
}

all_at_once() {
	local kernel=$1
	net_start
	networked "$kernel" '
		ping -q -c 2000 -i 0.002 10.77.0.1 | tee /run/ping
		grep -q "2000 packets received, 0% packet loss" /run/ping
		iperf3 -c 10.77.0.1 -t 4 >/run/up; grep receiver /run/up
		iperf3 -c 10.77.0.1 -t 4 -R >/run/down; grep receiver /run/down
		curl -s http://10.77.0.1:8080/file | sha256sum
		iperf3 -c 10.77.0.1 -u -l 63k -b 4M -t 3 >/run/udp; grep receiver /run/udp
		iperf3 -c 10.77.0.1 -u -l 63k -b 4M -t 3 -R >/run/udp; grep receiver /run/udp' --net tap=rl0
	expect_guest_line "$(sha256sum <"$work/www/file")"
	[ "$(guest_output | grep -c receiver)" = 4 ] || fail "iperf3 did not finish"
	! guest_output | grep receiver | grep -q ' 0.00 bits/sec' || fail "iperf3 moved nothing"
}

large_mtu() {
	local kernel=$1
	net_start
	in_host ip link set rl0 mtu 9000
	networked "$kernel" '
		[ $(cat /sys/class/net/eth0/mtu) = 9000 ]
		ping -q -c 20 -s 8900 10.77.0.1 | grep "20 packets received"
		iperf3 -c 10.77.0.1 -t 3 | grep receiver
		curl -s http://10.77.0.1:8080/file | sha256sum' --net tap=rl0
	expect_guest_line "$(sha256sum <"$work/www/file")"
}

offloads_toggled() {
	local kernel=$1
	net_start
	networked "$kernel" '
		ethtool -k eth0 | grep -E "^(tx-checksumming|tcp-segmentation-offload|rx-checksumming): on"
		for what in "tso off" "tx off" "gro off" "tso on tx on" "gro on lro off" "tx off tso off gro off"; do
			ethtool -K eth0 $what || true
			curl -s http://10.77.0.1:8080/file | sha256sum
			iperf3 -c 10.77.0.1 -t 1 | grep receiver
		done' --net tap=rl0
	[ "$(guest_output | grep -c "^$(sha256sum <"$work/www/file" | cut -d ' ' -f 1)")" = 6 ] || fail "other bytes arrived"
}

many_pairs() {
	net_start multi_queue
	networked trimmed '
		ethtool -L eth0 combined 4
		ethtool -l eth0 | grep -A 5 Current | grep "Combined:.*4"
		iperf3 -c 10.77.0.1 -P 4 -t 4 | grep "SUM.*receiver"
		iperf3 -c 10.77.0.1 -P 4 -t 4 -R | grep "SUM.*receiver"
		ethtool -L eth0 combined 1
		curl -s http://10.77.0.1:8080/file | sha256sum' --net tap=rl0,queues=4 -c 4
	expect_guest_line "$(sha256sum <"$work/www/file")"
}

two_guests() {
	local kernel=$1 first status=0
	net_start
	in_host ip link add br0 type bridge
	in_host ip addr del 10.77.0.1/24 dev rl0
	in_host ip addr add 10.77.0.1/24 dev br0
	in_host ip tuntap add dev rl1 mode tap vnet_hdr
	in_host ip link set rl0 master br0
	in_host ip link set rl1 master br0
	in_host ip link set rl1 up
	in_host ip link set br0 up
	in_host timeout 200 "$ringlet" run --timeout 180s -k "$images/bzImage" -i "$images/net.cpio" -m 512M --net tap=rl1 \
		-a "quiet rl.cmd=$(encode 'ip addr add 10.77.0.3/24 dev eth0; ip link set eth0 up; iperf3 -s')" \
		</dev/null >"$work/first" 2>&1 &
	first=$!
	networked "$kernel" '
		i=0; until iperf3 -c 10.77.0.3 -t 3 >/run/out; do i=$((i + 1)); [ $i -lt 20 ]; sleep 1; done
		grep receiver /run/out
		ping -q -c 50 -i 0.1 10.77.0.3 | grep "50 packets received"' --net tap=rl0 || status=$?
	kill -TERM "$first"
	wait "$first"
	return "$status"
}

# --- what may go wrong with a tap ---

# host_does WHEN COMMAND...: as soon as the guest's console says WHEN.
host_does() {
	local when=$1 i
	shift
	(
		for ((i = 0; i < 1200; i++)); do
			grep -q "^$when" "$work/console" 2>/dev/null && break
			sleep 0.1
		done
		"$@"
	) >/dev/null 2>&1 &
	echo $! >>"$work/servers"
}

down_and_up() {
	in_host ip link set rl0 down
	sleep 3
	in_host ip link set rl0 up
}

interface_down() {
	net_start
	host_does NOW down_and_up
	networked trimmed '
		echo NOW
		i=0; while ping -c 1 -W 1 10.77.0.1 >/dev/null; do i=$((i + 1)); [ $i -lt 100 ]; sleep 0.1; done
		echo it is down
		i=0; until ping -c 1 -W 1 10.77.0.1 >/dev/null; do i=$((i + 1)); [ $i -lt 60 ]; done
		echo it is up again
		curl -s http://10.77.0.1:8080/file | sha256sum' --net tap=rl0
	expect_guest_line "it is up again"
	expect_guest_line "$(sha256sum <"$work/www/file")"
}

tap_deleted() {
	net_start
	truncate -s 1M "$work/disk"
	host_does NOW in_host ip link del rl0
	networked trimmed '
		echo NOW
		i=0; while ping -c 1 -W 1 10.77.0.1 >/dev/null; do i=$((i + 1)); [ $i -lt 100 ]; sleep 0.1; done
		i=0; until [ $(cat /sys/class/net/eth0/carrier) = 0 ]; do i=$((i + 1)); [ $i -lt 100 ]; sleep 0.1; done
		dd if=/dev/zero of=/dev/vda bs=64k count=4 conv=fsync
		echo the guest lives on' --net tap=rl0 -d "$work/disk"
	expect_guest_line "the guest lives on"
}

# The guest looks away while the host floods it; then both are full, and must find each other again.
tap_full() {
	net_start
	host_does NOW in_host timeout 20 ping -f -s 1400 10.77.0.2
	networked trimmed '
		echo NOW
		i=0; while [ $i -lt 3 ]; do i=$((i + 1)); sleep 1; done
		iperf3 -c 10.77.0.1 -t 3 -R -P 8 | grep "SUM.*receiver"
		ping -q -c 20 -i 0.1 10.77.0.1
		curl -s http://10.77.0.1:8080/file | sha256sum' --net tap=rl0
	expect_guest_line "$(sha256sum <"$work/www/file")"
}

frame_too_long() {
	net_start
	in_host ip link set rl0 mtu 9000
	host_does NOW in_host ping -c 10 -i 0.2 -M "do" -s 8000 10.77.0.2
	networked trimmed '
		ip link set eth0 mtu 1500
		echo NOW
		sleep 4
		ping -q -c 20 -i 0.1 10.77.0.1 | grep "20 packets received"
		curl -s http://10.77.0.1:8080/file | sha256sum' --net tap=rl0,mtu=1500
	expect_guest_line "$(sha256sum <"$work/www/file")"
}

# --- for long ---

# KiB of memory in use by the VM's process beside guest RAM, which is its one mapping of more than 400 MiB.
own_memory() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { large = 0 }
		/^Size:/ { large = $2 > 400 * 1024 }
		/^Rss:/ && !large { sum += $2 }
		END { print sum }' "/proc/$1/smaps"
}

# Frames both ways and a disk under fio for as long as is asked: no second without a byte in either direction, no
# error, and memory that does not grow.
both_ways_for_long() {
	local seconds=$1 patience=$(($1 + 200)) vm pid early late i
	net_start
	truncate -s 64M "$work/disk"
	networked trimmed "
		fio --name=disk --filename=/dev/vda --rw=randrw --bs=4k --direct=1 --ioengine=psync --size=48M \\
			--rate=400k --verify=crc32c --verify_fatal=1 --time_based --runtime=$seconds >/run/fio 2>&1 &
		iperf3 -c 10.77.0.1 -t $seconds --bidir -i 1 -f k >/run/iperf
		wait
		cat /run/fio
		grep -E 'sec' /run/iperf" --net tap=rl0 -d "$work/disk" &
	vm=$!
	for ((i = 0; i < 600; i++)); do
		pid=$(ip netns pids "$host_ns" | xargs -r ps -o pid=,comm= -p | awk '$2 == "ringlet" { print $1 }')
		grep -q '^RINGLET-GUEST-START' "$work/console" && [ -n "$pid" ] && break
		sleep 0.1
	done
	sleep $((seconds / 10 + 5))
	early=$(own_memory "$pid")
	sleep $((seconds * 7 / 10))
	late=$(own_memory "$pid")
	wait "$vm" || exit 1
	guest_output | grep -q 'err= 0' || fail "fio found an error"
	printf '# beside guest RAM: %s KiB early, %s KiB late\n' "$early" "$late"
	[ "$late" -le $((early + early / 10 + 1024)) ] || fail "memory grew from $early to $late KiB"
	guest_output | awk -v seconds="$seconds" '
		/\[[TR]X-C\]/ && /sec/ && !/(sender|receiver)/ {
			count++
			if ($0 ~ / 0.00 (Bytes|KBytes)/) { stalled++; print "# stalled: " $0 }
		}
		END { printf "# %d intervals, %d without a byte\n", count, stalled; exit !(count >= 2 * (seconds - 2) && !stalled) }' ||
		fail "a second without a byte, or too few of them"
}

group_net_soak() {
	modprobe -a tun veth bridge 2>/dev/null
	net_case "tap and disk: both ways for ${RINGLET_SOAK_SECONDS:-600} seconds" \
		both_ways_for_long "${RINGLET_SOAK_SECONDS:-600}"
}

group_net() {
	[ "$(id -u)" = 0 ] || {
		run_case "network over a tap" skip "only root can make network namespaces and taps"
		return
	}
	modprobe -a tun veth bridge 2>/dev/null
	local kernel
	for kernel in trimmed 6.1-cloud; do
		net_case "tap: ping, iperf3, curl, UDP of 63 kB ($kernel)" all_at_once "$kernel"
		net_case "tap: an MTU of 9000 ($kernel)" large_mtu "$kernel"
		net_case "tap: offloads switched off and on ($kernel)" offloads_toggled "$kernel"
		net_case "tap: two guests on a bridge ($kernel)" two_guests "$kernel"
	done
	net_case "tap: four queue pairs" many_pairs
}

group_net_trouble() {
	[ "$(id -u)" = 0 ] || {
		run_case "what goes wrong with a tap" skip "only root can make network namespaces and taps"
		return
	}
	modprobe -a tun veth bridge 2>/dev/null
	net_case "tap: the interface goes down and comes up" interface_down
	net_case "tap: deleted under the VM" tap_deleted
	net_case "tap: full on both sides" tap_full
	net_case "tap: frames that are too long" frame_too_long
}

# --- passt, as an ordinary user ---

# Two namespaces with a wire between: the VM's host 10.88.0.2, and "the internet" behind its router 10.88.0.1, where
# 10.89.0.1 has DNS and HTTP. (The router's own address leads passt's guests to the host.)
passt_start() {
	command -v passt >/dev/null || skip "passt is not installed"
	ip netns add "$host_ns" 2>/dev/null || skip "no network namespaces here"
	ip netns add rl-inet
	ip link add wire netns "$host_ns" type veth peer name wire netns rl-inet || skip "no veth here"
	in_host ip link set lo up
	in_host ip addr add 10.88.0.2/24 dev wire
	in_host ip link set wire up
	ip -n rl-inet addr add 10.88.0.1/24 dev wire
	ip -n rl-inet addr add 10.89.0.1/32 dev lo
	ip -n rl-inet link set lo up
	ip -n rl-inet link set wire up
	in_host ip route add default via 10.88.0.1
	mkdir -p "/etc/netns/$host_ns" "$work/www"
	echo "nameserver 10.89.0.1" >"/etc/netns/$host_ns/resolv.conf"
	head -c 3000000 /dev/urandom >"$work/www/file"
	ip netns exec rl-inet busybox httpd -f -p 10.89.0.1:8080 -h "$work/www" &
	echo $! >>"$work/servers"
	ip netns exec rl-inet dnsmasq -k --no-resolv --no-hosts --listen-address=10.89.0.1 --bind-interfaces \
		--address=/files.example/10.89.0.1 --user=root --pid-file= --conf-file=/dev/null >/dev/null 2>&1 &
	echo $! >>"$work/servers"
	ip netns exec rl-inet iperf3 -s >/dev/null 2>&1 &
	echo $! >>"$work/servers"
	# What the ordinary user needs: ours may lie in a folder that is nobody's but ours.
	chmod 666 /dev/kvm
	chmod 755 "$work"
	cp "$ringlet" "$work/ringlet"
}

# It renames itself after the instructions it was built for: passt.avx2
passt_runs() {
	pgrep '^passt' >/dev/null
}

passt_stop() {
	ip netns pids rl-inet 2>/dev/null | xargs -r kill -KILL
	ip netns del rl-inet 2>/dev/null
	rm -rf "/etc/netns/$host_ns"
}

# As networked, but the VM belongs to an ordinary user, and the guest asks DHCP for its address.
rootless() {
	local kernel=$1 command=$2
	shift 2
	net_kernel "$kernel"
	cp "${tools[1]}" "$work/kernel"
	cp "${tools[3]}" "$work/initrd"
	tools=(-k "$work/kernel" -i "$work/initrd")
	prefix=(ip netns exec "$host_ns" setpriv --reuid 65534 --regid 65534 --clear-groups)
	local ringlet=$work/ringlet
	boot 0 "${tools[@]}" -m 768M -a "quiet rl.cmd=$(encode "
		set -e
		ip link set eth0 up
		mkdir -p /usr/share/udhcpc
		cat >/run/udhcpc <<-'END'
			#!/bin/sh
			[ \$1 = bound ] || exit 0
			ip addr add \$ip/\$mask dev eth0
			ip route add default via \$router dev eth0 onlink
			for d in \$dns; do echo nameserver \$d; done >/etc/resolv.conf
		END
		chmod 755 /run/udhcpc
		udhcpc -n -q -i eth0 -s /run/udhcpc
		$command
	")" "$@"
	guest_succeeded
}

passt_everything() {
	passt_start
	rootless "$1" '
		cat /etc/resolv.conf
		curl -s http://files.example:8080/file | sha256sum
		iperf3 -c 10.89.0.1 -t 3 | grep receiver
		iperf3 -c 10.89.0.1 -t 3 -R | grep receiver' --net user
	expect_guest_line "$(sha256sum <"$work/www/file")"
	! passt_runs || fail "passt outlived the VM"
}

ask_guest() {
	local i
	for ((i = 0; i < 100; i++)); do
		if in_host curl -s -m 2 -o "$work/answer" http://127.0.0.1:8181/hello; then
			break
		fi
		sleep 0.2
	done
}

passt_forwards() {
	passt_start
	host_does READY ask_guest
	rootless trimmed '
		mkdir /run/www; echo hello from the guest >/run/www/hello
		httpd -f -p 8080 -h /run/www &
		echo READY; sleep 12' --net user,hostfwd=8181:8080
	[ "$(cat "$work/answer" 2>/dev/null)" = "hello from the guest" ] || fail "the forwarded port does not answer"
}

passt_killed() {
	passt_start
	host_does NOW pkill -KILL '^passt'
	truncate -s 1M "$work/disk"
	chmod 666 "$work/disk"
	rootless trimmed '
		echo NOW
		i=0; until [ $(cat /sys/class/net/eth0/carrier) = 0 ]; do i=$((i + 1)); [ $i -lt 200 ]; sleep 0.1; done
		dd if=/dev/zero of=/dev/vda bs=64k count=4 conv=fsync
		echo the guest lives on' --net user -d "$work/disk"
	expect_guest_line "the guest lives on"
}

ringlet_killed() {
	local pid i
	passt_start
	cp "$images/bzImage" "$work/kernel"
	cp "$images/small.cpio" "$work/initrd"
	in_host setpriv --reuid 65534 --regid 65534 --clear-groups "$work/ringlet" run --timeout 100s -k "$work/kernel" \
		-i "$work/initrd" --net user -a "quiet rl.cmd=$(encode 'echo UP; sleep 100')" </dev/null \
		>"$work/console" 2>"$work/err" &
	pid=$!
	for ((i = 0; i < 600; i++)); do
		grep -q '^UP' "$work/console" && break
		sleep 0.1
	done
	passt_runs || fail "no passt is running"
	pkill -KILL -x ringlet
	wait "$pid" 2>/dev/null
	for ((i = 0; i < 50; i++)); do
		passt_runs || return 0
		sleep 0.1
	done
	fail "passt outlived a killed VM"
}

passt_case() {
	net_case "$@"
	passt_stop
}

group_passt() {
	[ "$(id -u)" = 0 ] || {
		run_case "network over passt" skip "only root can make the network namespaces around it"
		return
	}
	modprobe -a tun veth 2>/dev/null
	passt_case "passt: DHCP, DNS, curl, iperf3, as an ordinary user" passt_everything trimmed
	passt_case "passt: the same with Debian's kernel" passt_everything 6.1-cloud
	passt_case "passt: a forwarded port" passt_forwards
	passt_case "passt: killed under the VM" passt_killed
	passt_case "passt: gone when ringlet is killed" ringlet_killed
}
