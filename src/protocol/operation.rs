//! Owns: the names of what can be asked, in whichever dialect.
//! Refuses to know: how it is parsed (one folder a dialect).

use serde::Serialize;

/// What is asked. The operation is data on the call: there is one pipeline for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Chat,
    Embeddings,
}

impl Operation {
    /// Path at an OpenAI-compatible provider, below its base URL.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Embeddings => "/embeddings",
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
        }
    }
}
