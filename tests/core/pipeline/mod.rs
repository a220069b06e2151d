//! Owns: tests of the request path. `house` is a pipeline built by hand over a real ledger, `scripted` a provider that does as
//! it is told; where bytes on a wire matter, the provider is the twin.

mod access;
mod costs;
mod exits;
mod failover;
mod growing;
mod house;
mod leaving;
mod prices;
mod scripted;
mod shutdown;
mod wire;
