#!/usr/bin/env bash
# Sound and pictures through a narrow link of a real network: a relay and a publisher in one network namespace, a
# viewer in another behind 1 Mbit/s. Prints what came, and how late (docs/congestion.md).
#
#   sudo scripts/bottleneck.sh [SECONDS]
#
# Needs Linux, root, ip and tc. SMOQ_BIN and LIVE_BIN name the binaries; without them they are built.
# RATE and QUEUE (bytes that the link keeps) change the link.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-20}
if [[ -z ${SMOQ_BIN:-} ]]; then
    cargo build --locked --package smoq --no-default-features
    SMOQ_BIN=${CARGO_TARGET_DIR:-target}/debug/smoq
fi
if [[ -z ${LIVE_BIN:-} ]]; then
    cargo build --locked --package smoq-tokio --example live
    LIVE_BIN=${CARGO_TARGET_DIR:-target}/debug/examples/live
fi
work=$(mktemp -d)
export XDG_DATA_HOME=$work
near=smoq-near-$$
far=smoq-far-$$
at_near="ip netns exec $near"
at_far="ip netns exec $far"

cleanup() {
    local status=$?
    jobs -p | xargs -r kill 2>/dev/null || true
    wait
    ip netns delete "$near" 2>/dev/null || true
    ip netns delete "$far" 2>/dev/null || true
    ((status == 0)) || tail -n 20 "$work"/*.log >&2 || true
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT

ip netns add "$near"
ip netns add "$far"
ip link add link0 netns "$near" type veth peer name link0 netns "$far"
$at_near ip address add 10.77.0.1/30 dev link0
$at_far ip address add 10.77.0.2/30 dev link0
for at in "$at_near" "$at_far"; do
    $at ip link set lo up
    $at ip link set link0 up
done
$at_near tc qdisc add dev link0 root tbf rate "${RATE:-1mbit}" burst 3000 limit "${QUEUE:-12500}"

$at_near "$SMOQ_BIN" relay --listen 10.77.0.1:4443 --shards 1 >"$work/relay.log" 2>&1 &
# It prints its URL when it listens.
timeout 20 sh -c 'until grep -q ^moqt: "$0"; do sleep 0.1; done' "$work/relay.log" ||
    { echo "the relay does not listen; its log:" >&2 && exit 1; }
$at_near "$LIVE_BIN" publish moqt://10.77.0.1:4443 >"$work/publish.log" 2>&1 &
echo "| Track | Made | Arrived | Late: half | 99 % | most |"
echo "|---|---|---|---|---|---|"
$at_far "$LIVE_BIN" watch moqt://10.77.0.1:4443 "$seconds" 2>"$work/watch.log"
