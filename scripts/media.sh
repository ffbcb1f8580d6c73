#!/usr/bin/env bash
# Real input over real sockets: what comes out of `smoq subscribe --all` is what went into
# `smoq publish`, byte for byte.
#
#   scripts/media.sh [live] [file] [samples]      all parts by default
#
# live: 30 s of MPEG-TS from ffmpeg to two lossless subscribers, and to one that joins while it runs.
# file: 100 MB to a lossless subscriber, then to one whose reader takes half of that speed.
# samples: what `smoq generate` makes is what ffmpeg takes it for.
#
# SMOQ_BIN names the binary; without it a release build is made. SECONDS_OF_MEDIA and MEGABYTES
# change the amounts.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${SECONDS_OF_MEDIA:-30}
megabytes=${MEGABYTES:-100}

if [[ -z ${SMOQ_BIN:-} ]]; then
    # Without WebRTC, whose cryptography takes long to build, and which carries nothing here.
    cargo build --release --locked --package smoq --no-default-features --features h3,smol
    SMOQ_BIN=${CARGO_TARGET_DIR:-target}/release/smoq
fi
smoq=$(realpath "$SMOQ_BIN")
work=$(mktemp -d)
export XDG_DATA_HOME=$work/data
relay=

cleanup() {
    local status=$?
    if ((status != 0)); then
        tail -n 20 "$work"/*.log >&2 || true
        echo "media: FAILED" >&2
    fi
    # Whatever still runs would keep the wait below from ending.
    jobs -p | xargs -r kill 2>/dev/null || true
    wait
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT

fail() {
    echo "media: $*" >&2
    exit 1
}

# same WHAT FILE FILE
same() {
    [[ $(sha256sum <"$2") == $(sha256sum <"$3") ]] || fail "$1: $(stat -c %s "$3") bytes came out that differ from the $(stat -c %s "$2") that went in"
    echo "media: $1: $(stat -c %s "$2") bytes, equal"
}

# now: microseconds
now() { echo "${EPOCHREALTIME/./}"; }

# throttle MICROSECONDS: passes standard input on, a megabyte each so many microseconds.
throttle() {
    local due wait
    due=$(now)
    while head -c 1000000 >"$work/chunk" && [[ -s $work/chunk ]]; do
        cat "$work/chunk"
        due=$((due + $1))
        wait=$((due - $(now)))
        if ((wait > 0)); then sleep "$((wait / 1000000)).$(printf %06d $((wait % 1000000)))"; fi
    done
}

# transfer NAME [MICROSECONDS]: a file through publish, relay and subscribe; sets `took`.
transfer() {
    local begin subscriber
    "$smoq" subscribe --all "$url" "$1" 2>"$work/$1-subscribe.log" |
        if [[ -n ${2:-} ]]; then throttle "$2"; else cat; fi >"$work/$1.out" &
    subscriber=$!
    begin=$(now)
    "$smoq" publish --wait "$url" "$1" <"$work/file" 2>"$work/$1-publish.log"
    wait "$subscriber" || fail "$1: subscribe failed"
    took=$(($(now) - begin))
    same "$1" "$work/file" "$work/$1.out"
    rm "$work/$1.out"
}

live() {
    local first second late joined
    "$smoq" subscribe --all "$url" tv >"$work/first.ts" 2>"$work/first.log" &
    first=$!
    "$smoq" subscribe --all "$url" tv >"$work/second.ts" 2>"$work/second.log" &
    second=$!
    ffmpeg -hide_banner -loglevel error -nostdin -re \
        -f lavfi -i "testsrc2=size=640x360:rate=30" -f lavfi -i "sine=frequency=440" -t "$seconds" \
        -c:v libx264 -preset veryfast -tune zerolatency -g 30 -b:v 2M -c:a aac \
        -f mpegts - 2>"$work/ffmpeg.log" |
        tee "$work/input.ts" |
        "$smoq" publish --wait --frame-size 1316 --log smoq=debug "$url" tv 2>"$work/publish.log" &
    local publisher=$!
    sleep "$((seconds / 3))"
    "$smoq" subscribe --max-latency 10s "$url" tv >"$work/late.ts" 2>"$work/late.log" &
    late=$!
    wait "$publisher" || fail "publish or ffmpeg failed"
    for subscriber in "$first" "$second" "$late"; do
        wait "$subscriber" || fail "a subscriber failed"
    done

    same "first subscriber" "$work/input.ts" "$work/first.ts"
    same "second subscriber" "$work/input.ts" "$work/second.ts"
    joined=$(($(stat -c %s "$work/input.ts") - $(stat -c %s "$work/late.ts")))
    ((joined > 0)) || fail "the late subscriber got what was sent before it came"
    [[ -s $work/late.ts ]] || fail "the late subscriber got nothing"
    tail -c "+$((joined + 1))" "$work/input.ts" >"$work/suffix.ts"
    same "late subscriber, a suffix" "$work/suffix.ts" "$work/late.ts"
    grep -qE "offset=$joined\$" "$work/publish.log" ||
        fail "the late subscriber's first byte, $joined, begins no group"
    local streams
    # It complains about the pictures before the first whole one; that is what joining means.
    streams=$(ffprobe -loglevel error -show_entries stream=codec_type -of csv=p=0 "$work/late.ts" 2>"$work/ffprobe.log" | sort -u | xargs)
    [[ $streams == "audio video" ]] || fail "ffprobe finds '$streams' in what the late subscriber got"
    echo "media: late subscriber: joined at byte $joined, where a group begins; ffprobe finds $streams"
}

file() {
    local took speed half
    head -c "$((megabytes * 1000000))" /dev/urandom >"$work/file"
    transfer full-speed
    speed=$((megabytes * 1000000 / took))
    half=$((2 * took / megabytes))
    echo "media: full speed is $speed MB/s"
    transfer half-speed "$half"
    ((took > megabytes * half * 9 / 10)) || fail "the throttled reader took only $took us"
}

samples() {
    local told
    (
        cd "$work"
        "$smoq" generate audio
        "$smoq" generate video --duration 1s
        # Word for word what Conic's documents say.
        ffmpeg -f rawvideo -vcodec rawvideo -s 640x480 -pix_fmt yuv420p -i bounce.yuv -c:v libx264 -pix_fmt yuv420p output.mp4
    ) >"$work/samples.log" 2>&1 </dev/null || fail "a sample was not made, or ffmpeg does not take it"
    told=$(ffprobe -loglevel error -count_frames -show_entries stream=width,height,nb_read_frames -of csv=p=0 "$work/output.mp4")
    [[ $told == 640,480,30 ]] || fail "ffprobe finds $told in the video, not 30 pictures of 640x480"
    told=$(ffprobe -loglevel error -show_entries stream=codec_name,sample_rate,channels,duration -of csv=p=0 "$work/sample.wav")
    [[ $told == pcm_s16le,48000,2,5.000000 ]] || fail "ffprobe finds $told in the sound"
    echo "media: samples: ffmpeg takes both"
}

parts=("$@")
if ((${#parts[@]} == 0)); then parts=(live file samples); fi
if [[ " ${parts[*]} " =~ \ (live|samples)\  ]]; then
    command -v ffmpeg ffprobe >/dev/null || fail "ffmpeg is missing: apt-get install ffmpeg"
fi

mkfifo "$work/ready"
"$smoq" relay --listen 127.0.0.1:0 >"$work/ready" 2>"$work/relay.log" &
relay=$!
read -r url _ <"$work/ready" || fail "the relay did not start"
for part in "${parts[@]}"; do
    case $part in
    live) live ;;
    file) file ;;
    samples) samples ;;
    *) fail "unknown part $part: live, file or samples" ;;
    esac
done
kill -INT "$relay"
wait "$relay" || fail "the relay did not end cleanly"
relay=
echo "media: all equal"
