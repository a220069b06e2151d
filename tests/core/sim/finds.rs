//! Owns: the proof that the simulation can fail.
