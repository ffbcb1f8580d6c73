// What gomoqt uses of github.com/okdaichi/webtransport-go, on the release that it is a fork of.
module github.com/okdaichi/webtransport-go

go 1.26.0

require (
	github.com/quic-go/quic-go v0.61.0
	github.com/quic-go/webtransport-go v0.12.0
)
