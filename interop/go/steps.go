package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/quic-go/webtransport-go"
	"github.com/qumo-dev/gomoqt/moqt"
)

// codeCancel is that with which who has finished a track reads no more of the subscription, on raw QUIC and as
// WebTransport maps it. It is all that gomoqt tells of an end.
const codeCancel = 0x52e4a40fa8dc

var (
	errSilence = fmt.Errorf("nothing for %v", patience)
	errEndless = errors.New("all groups came, but no end of the track")

	mutex  sync.Mutex
	failed bool
)

// step tells what became of one.
func step(name string, err error) {
	mutex.Lock()
	defer mutex.Unlock()
	if err == nil {
		fmt.Printf("%s: pass\n", name)
	} else {
		failed = true
		fmt.Printf("%s: fail: %v\n", name, err)
	}
}

func notOffered(name, why string) { fmt.Printf("%s: not offered: %s\n", name, why) }

func exitCode() int {
	mutex.Lock()
	defer mutex.Unlock()
	if failed {
		return 1
	}
	return 0
}

// exchange does what both sides do, whoever has called the other.
func exchange(session *moqt.Session, mux *moqt.TrackMux, mine, theirs moqt.BroadcastPath) {
	published, unpublish := publish(session, mux, mine)
	reader, err := session.AcceptAnnounce("/")
	if err != nil {
		step("announce", err)
		return
	}
	announcement, err := find(session, reader, theirs)
	step("announce", err)
	if err != nil {
		return
	}
	check(session, theirs)
	published.report()
	unpublish()
	ended := make(chan struct{})
	announcement.AfterFunc(func() { close(ended) })
	select {
	case <-ended:
		step("unannounce", nil)
	case <-time.After(patience):
		step("unannounce", fmt.Errorf("still announced after %v", patience))
	}
}

func find(session *moqt.Session, reader *moqt.AnnouncementReader, path moqt.BroadcastPath) (*moqt.Announcement, error) {
	ctx, cancel := context.WithTimeout(session.Context(), patience)
	defer cancel()
	for {
		announcement, err := reader.ReceiveAnnouncement(ctx)
		if err != nil {
			return nil, err
		}
		if announcement.BroadcastPath() == path {
			return announcement, nil
		}
	}
}

func check(session *moqt.Session, path moqt.BroadcastPath) {
	var endless error
	for _, track := range ending {
		err := takeAll(session, path, track)
		// That is a step of its own.
		if errors.Is(err, errEndless) {
			endless, err = err, nil
		}
		step(track.name, err)
	}
	step("end", endless)
	step("live", takeLive(session, path))
	step("unknown", takeUnknown(session, path))
	err := fetch(session, path, ending[0], 3)
	if code, ok := refusal(err); ok {
		notOffered("fetch", fmt.Sprintf("the peer refuses it with code %#x", code))
	} else {
		step("fetch", err)
	}
	_ = takeAll(session, path, done)
}

// takeAll takes a track that ends, each byte of it, and its end.
func takeAll(session *moqt.Session, path moqt.BroadcastPath, track known) error {
	reader, err := subscribe(session, path, track.name)
	if err != nil {
		return err
	}
	defer reader.Close()
	seen := map[uint64]bool{}
	for uint64(len(seen)) < track.groups {
		group, err := accept(reader, patience)
		if err != nil {
			return fmt.Errorf("after %d of %d groups: %w", len(seen), track.groups, err)
		}
		sequence := uint64(group.GroupSequence())
		if sequence >= track.groups || seen[sequence] {
			return fmt.Errorf("group %d is one too many", sequence)
		}
		seen[sequence] = true
		if err := takeFrames(group, track); err != nil {
			return err
		}
	}
	// What comes after the last group is nothing, and soon.
	_, err = accept(reader, patience)
	if err == nil {
		return errors.New("more groups came")
	} else if errors.Is(err, context.DeadlineExceeded) {
		return errEndless
	} else if code, ok := refusal(err); !ok || code != codeCancel {
		return fmt.Errorf("instead of the end: %w", err)
	}
	return session.Context().Err()
}

func takeLive(session *moqt.Session, path moqt.BroadcastPath) error {
	reader, err := subscribe(session, path, live.name)
	if err != nil {
		return err
	}
	// A plain Close leaves the stream half open, which is how gomoqt's own subscribers leave.
	defer reader.Close()
	for range 5 {
		group, err := accept(reader, patience)
		if err != nil {
			return err
		}
		if err := takeFrames(group, live); err != nil {
			return err
		}
	}
	return nil
}

func takeUnknown(session *moqt.Session, path moqt.BroadcastPath) error {
	reader, err := subscribe(session, path, "unknown")
	if err == nil {
		defer reader.Close()
		_, err = accept(reader, patience)
	}
	if _, ok := refusal(err); ok {
		return session.Context().Err()
	}
	if err == nil || reader != nil && errors.Is(err, context.DeadlineExceeded) {
		return errors.New("a track that there is not is accepted")
	}
	return err
}

// refusal tells with what code the peer reset a stream. Over WebTransport gomoqt gives no typed errors.
func refusal(err error) (code uint64, ok bool) {
	var (
		subscription *moqt.SubscribeError
		group        *moqt.GroupError
		web          *webtransport.StreamError
	)
	switch {
	case errors.As(err, &subscription):
		return uint64(subscription.ErrorCode), subscription.Remote
	case errors.As(err, &group):
		return uint64(group.ErrorCode), group.Remote
	case errors.As(err, &web):
		return uint64(web.ErrorCode), web.Remote
	default:
		return 0, false
	}
}

func fetch(session *moqt.Session, path moqt.BroadcastPath, track known, sequence uint64) error {
	ctx, cancel := context.WithTimeout(session.Context(), patience)
	defer cancel()
	request := &moqt.FetchRequest{
		BroadcastPath: path,
		TrackName:     moqt.TrackName(track.name),
		GroupSequence: moqt.GroupSequence(sequence),
	}
	group, err := session.Fetch(request.WithContext(ctx))
	if err != nil {
		return err
	}
	return takeFrames(group, track)
}

func probe(session *moqt.Session) {
	results, err := session.Probe(1_000_000)
	if err != nil {
		step("probe", err)
		return
	}
	select {
	case _, ok := <-results:
		if ok {
			step("probe", nil)
		} else {
			step("probe", errors.New("the channel was closed"))
		}
	case <-time.After(patience):
		step("probe", errSilence)
	}
}

func subscribe(session *moqt.Session, path moqt.BroadcastPath, track string) (*moqt.TrackReader, error) {
	ctx, cancel := context.WithTimeout(session.Context(), patience)
	defer cancel()
	config := &moqt.SubscribeConfig{Ordered: true, MaxLatency: 60_000}
	return session.Subscribe(ctx, path, moqt.TrackName(track), config)
}

func accept(reader *moqt.TrackReader, limit time.Duration) (*moqt.GroupReader, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return reader.AcceptGroup(ctx)
}

// takeFrames takes each byte of one group.
func takeFrames(group *moqt.GroupReader, track known) error {
	sequence := uint64(group.GroupSequence())
	if err := group.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	buffer := moqt.NewFrame(0)
	for frame := range track.frames(sequence) {
		if err := group.ReadFrame(buffer); err != nil {
			return fmt.Errorf("frame %d of group %d: %w", frame, sequence, err)
		}
		if !bytes.Equal(buffer.Body(), track.payload(sequence, frame)) {
			return fmt.Errorf("frame %d of group %d is not as it was sent", frame, sequence)
		}
	}
	if err := group.ReadFrame(buffer); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the end of group %d: %v", sequence, err)
	}
	return nil
}
