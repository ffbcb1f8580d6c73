// A client and a server on gomoqt that do the steps of `smoq interop`.
//
// A server prints its URL and the SHA-256 fingerprint of its certificate, then both print `STEP: VERDICT`
// for each step.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/qumo-dev/gomoqt/moqt"
)

const (
	serverPath = "/interop/server"
	clientPath = "/interop/client"
	patience   = 10 * time.Second
)

func main() {
	log.SetFlags(0)
	dial := flag.String("dial", "", "be a client of this URL; without it a server on 127.0.0.1")
	side := flag.String("as", "client", "a client's side of the exchange: client or server")
	goaway := flag.Bool("goaway", false, "a client waits at the end until it is asked to leave")
	scheme := flag.String("scheme", "moqt", "of the URL that a server prints")
	flag.Parse()
	var err error
	if *dial == "" {
		err = serve(*scheme)
	} else {
		err = call(*dial, *side == "server", *goaway)
	}
	if err != nil {
		log.Fatal(err)
	}
	os.Exit(exitCode())
}

func call(url string, asServer, waitForGoaway bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	mine, theirs := moqt.BroadcastPath(clientPath), moqt.BroadcastPath(serverPath)
	if asServer {
		mine, theirs = theirs, mine
	}
	goaway := make(chan string, 1)
	dialer := moqt.Dialer{
		// The test starts the server itself.
		TLSConfig:    &tls.Config{InsecureSkipVerify: true},
		QUICConfig:   quicConfig(),
		FetchHandler: moqt.FetchHandlerFunc(serveFetch),
		OnGoaway:     func(uri string) { goaway <- uri },
	}
	mux := moqt.NewTrackMux(0)
	session, err := dialer.Dial(ctx, url, mux)
	if err != nil {
		step("connect", err)
		return nil
	}
	step("connect", nil)
	probe(session)
	exchange(session, mux, mine, theirs)
	if waitForGoaway {
		select {
		case <-goaway:
			step("goaway", nil)
		case <-session.Context().Done():
			step("goaway", errors.New("the session ended"))
		case <-time.After(patience):
			step("goaway", errSilence)
		}
	}
	if err := session.CloseWithError(moqt.NoError, "done"); err != nil {
		return err
	}
	select {
	case <-session.Context().Done():
		step("close", nil)
	case <-time.After(time.Second):
		step("close", errors.New("the session goes on after CloseWithError"))
	}
	return nil
}

func serve(scheme string) error {
	certificate, fingerprint, err := newCertificate()
	if err != nil {
		return err
	}
	finished := make(chan *moqt.Session, 1)
	mux := moqt.NewTrackMux(0)
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &moqt.Server{
		Addr:         socket.LocalAddr().String(),
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{moqt.NextProtoH3, moqt.NextProtoMOQ}},
		QUICConfig:   quicConfig(),
		TrackMux:     mux,
		FetchHandler: moqt.FetchHandlerFunc(serveFetch),
		Handler: moqt.HandleFunc(func(session *moqt.Session) {
			step("connect", nil)
			exchange(session, mux, serverPath, clientPath)
			finished <- session
			// Who returns closes the session.
			<-session.Context().Done()
		}),
	}
	fmt.Printf("%s://%s %x\n", scheme, server.Addr, fingerprint)
	// gomoqt opens the socket itself.
	socket.Close()
	go func() {
		if err := server.ListenAndServe(); err != nil && !errors.Is(err, moqt.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	session := <-finished
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go server.Shutdown(ctx)
	select {
	case <-session.Context().Done():
		step("leave", nil)
	case <-time.After(patience):
		step("leave", errSilence)
	}
	return nil
}

func quicConfig() *quic.Config {
	return &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true}
}

func newCertificate() (tls.Certificate, [32]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, [32]byte{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, [32]byte{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, sha256.Sum256(der), nil
}
