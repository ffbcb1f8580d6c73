package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/qumo-dev/gomoqt/moqt"
)

// publication is what one session gets.
type publication struct {
	session *moqt.Session
	// closed when somebody has taken the track `done`, and has left `live`
	done, left chan struct{}
	// others may take them again
	doneOnce, leftOnce sync.Once
}

// publish announces the known broadcast until the function that it returns is called.
func publish(session *moqt.Session, mux *moqt.TrackMux, path moqt.BroadcastPath) (*publication, func()) {
	p := &publication{session: session, done: make(chan struct{}), left: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	mux.PublishFunc(ctx, path, p.serve)
	return p, cancel
}

func (p *publication) serve(writer *moqt.TrackWriter) {
	name := string(writer.TrackName)
	switch {
	case name == live.name:
		p.tick(writer)
	case name == done.name:
		writeAll(writer, done)
		p.doneOnce.Do(func() { close(p.done) })
	default:
		for _, track := range ending {
			if name == track.name {
				writeAll(writer, track)
				return
			}
		}
		moqt.NotFound(writer)
	}
}

// writeAll writes all groups; the end follows when the handler returns.
func writeAll(writer *moqt.TrackWriter, track known) {
	for group := range track.groups {
		if writeGroup(writer, track, group) != nil {
			return
		}
	}
}

func (p *publication) tick(writer *moqt.TrackWriter) {
	defer p.leftOnce.Do(func() { close(p.left) })
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for group := uint64(0); ; group++ {
		select {
		case <-writer.Context().Done():
			return
		case <-ticks.C:
		}
		if writeGroup(writer, live, group) != nil {
			return
		}
	}
}

func writeGroup(writer *moqt.TrackWriter, track known, sequence uint64) error {
	group, err := writer.OpenGroupAt(writer.Context(), moqt.GroupSequence(sequence))
	if err != nil {
		return err
	}
	return writeFrames(group, track)
}

func writeFrames(group *moqt.GroupWriter, track known) error {
	sequence := uint64(group.GroupSequence())
	for frame := range track.frames(sequence) {
		payload := track.payload(sequence, frame)
		message := moqt.NewFrame(len(payload))
		message.Write(payload)
		if err := group.WriteFrame(message); err != nil {
			group.CancelWrite(moqt.InternalGroupErrorCode)
			return err
		}
	}
	return group.Close()
}

func serveFetch(writer *moqt.GroupWriter, request *moqt.FetchRequest) {
	for _, track := range ending {
		if string(request.TrackName) == track.name {
			_ = writeFrames(writer, track)
			return
		}
	}
	writer.CancelWrite(moqt.InternalGroupErrorCode)
}

// report tells whether the peer has left and has checked everything.
func (p *publication) report() {
	for _, wait := range []struct {
		name string
		is   chan struct{}
	}{{"served", p.done}, {"unsubscribe", p.left}} {
		select {
		case <-wait.is:
			step(wait.name, nil)
		case <-p.session.Context().Done():
			step(wait.name, fmt.Errorf("the session ended"))
		case <-time.After(patience):
			step(wait.name, errSilence)
		}
	}
}
