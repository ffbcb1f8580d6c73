// Package webtransport has the names that gomoqt expects of its fork, and leads to the original.
package webtransport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	original "github.com/quic-go/webtransport-go"
)

type (
	SessionState     = original.SessionState
	SessionErrorCode = original.SessionErrorCode
	Stream           = original.Stream
	SendStream       = original.SendStream
	ReceiveStream    = original.ReceiveStream
	StreamErrorCode  = original.StreamErrorCode
)

// Session is one that can be asked for figures of its connection, as the fork's.
type Session struct{ *original.Session }

// ConnectionStats knows none: only the fork does.
func (Session) ConnectionStats() quic.ConnectionStats { return quic.ConnectionStats{} }

func wrap(session *original.Session) *Session {
	if session == nil {
		return nil
	}
	return &Session{session}
}

// Dialer is a client.
type Dialer struct {
	TLSClientConfig      *tls.Config
	ApplicationProtocols []string
}

// Dial connects, with a QUIC connection of its own.
func (d Dialer) Dial(ctx context.Context, url string, header http.Header) (*http.Response, *Session, error) {
	config := d.TLSClientConfig.Clone()
	config.NextProtos = []string{http3.NextProtoH3}
	transport := original.Transport{
		TLSClientConfig:      config,
		QUICConfig:           &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true},
		ApplicationProtocols: d.ApplicationProtocols,
	}
	response, session, err := transport.Dial(ctx, url, header)
	return response, wrap(session), err
}

// Server is a server whose requests know it, for [Upgrader].
type Server struct {
	H3    *http3.Server
	inner *original.Server
}

type serverKey struct{}

func (s *Server) start() *original.Server {
	if s.inner == nil {
		original.ConfigureHTTP3Server(s.H3)
		s.inner = &original.Server{H3: s.H3}
		handler := s.H3.Handler
		s.H3.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), serverKey{}, s.inner)))
		})
	}
	return s.inner
}

// ServeQUICConn serves one connection.
func (s *Server) ServeQUICConn(conn *quic.Conn) error { return s.start().ServeQUICConn(conn) }

// Serve serves those that come to a socket.
func (s *Server) Serve(conn net.PacketConn) error { return s.start().Serve(conn) }

// Close ends it.
func (s *Server) Close() error { return s.start().Close() }

// Upgrader answers requests for sessions.
type Upgrader struct {
	CheckOrigin          func(r *http.Request) bool
	ApplicationProtocols []string
	// ReorderingTimeout is that of the server.
	ReorderingTimeout time.Duration
}

// Upgrade answers one.
func (u Upgrader) Upgrade(w http.ResponseWriter, r *http.Request) (*Session, error) {
	server, ok := r.Context().Value(serverKey{}).(*original.Server)
	if !ok {
		return nil, errors.New("this request came to another server")
	}
	if u.CheckOrigin != nil {
		server.CheckOrigin = u.CheckOrigin
	}
	server.ApplicationProtocols = u.ApplicationProtocols
	session, err := server.Upgrade(w, r)
	return wrap(session), err
}
