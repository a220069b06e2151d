//! A scripted provider: a real HTTP server on loopback that answers, streams and fails on request.
