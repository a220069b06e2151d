//! Providers over the network. One kind serves every OpenAI-compatible vendor; what differs is data (`Family`).

mod credentials;
mod http;
mod idle;
mod openai_compatible;

pub use http::HttpClient;
pub use openai_compatible::{OpenAiCompatible, ProviderConfig};
