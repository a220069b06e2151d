//! gotoai: the control plane for model access.
//!
//! The map, floor by floor; imports go down only (`tests/structure.rs` holds it):
//!
//! ```text
//! doors ──▶ app ──▶ pipeline ─┐
//!            └────▶ adapters ─┴▶ domain ──▶ protocol ──▶ base
//! ```
//!
//! Beside the house stand `twin`, a scripted provider for the demo, the tests and the notebooks, and `sim`, the world around
//! the request path on a virtual clock.

pub mod adapters;
pub mod app;
pub mod base;
pub mod domain;
pub mod doors;
pub mod pipeline;
pub mod protocol;
pub mod sim;
pub mod twin;
