//! Owns: the simulation's tests: it finds nothing in the product, it finds what is put into it on purpose, and the same seed
//! is the same run.

mod finds;
mod holds;
