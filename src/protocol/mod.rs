//! Floor 1: what is said on the wire. Pure: bytes in, bytes out.
