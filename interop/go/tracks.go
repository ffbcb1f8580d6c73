package main

import (
	"fmt"
	"strings"
)

// known is a track that both sides have; see `smoq interop --help`.
type known struct {
	name string
	// groups it has before it ends; 0 if it goes on
	groups uint64
	frames func(group uint64) uint64
	size   func(group, frame uint64) int
}

func always[T any](value T) func(uint64) T { return func(uint64) T { return value } }

func sized(size int) func(_, _ uint64) int { return func(_, _ uint64) int { return size } }

var (
	ending = []known{
		{"small", 20, always[uint64](3), func(g, f uint64) int { return int(10 + g + f) }},
		{"empty", 9, func(g uint64) uint64 { return g % 3 }, sized(0)},
		{"big", 3, always[uint64](1), sized(2 << 20)},
		{"many", 300, always[uint64](1), sized(16)},
	}
	live = known{"live", 0, always[uint64](2), sized(100)}
	done = known{"done", 1, always[uint64](1), sized(0)}
)

// payload is what a frame has.
func (k known) payload(group, frame uint64) []byte {
	place := fmt.Sprintf("%s/%d/%d ", k.name, group, frame)
	size := k.size(group, frame)
	return []byte(strings.Repeat(place, size/len(place)+1))[:size]
}
