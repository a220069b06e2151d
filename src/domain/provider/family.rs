//! Owns: the OpenAI-compatible vendors as rows of data. A new vendor is a new row, never new code.
//! Refuses to know: instances, keys and models (settings).

use crate::protocol::openai::CostForm;

/// What a provider does with a stream whose reader has left, which decides how the order is settled (ledger law, cases
/// 10a and 10b; source: OpenRouter's table of providers that support stream cancellation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// It computes and bills to the end: read on to learn the real usage.
    Drain,
    /// It stops computing and billing: hang up, settle what was received.
    Abort,
}

/// A closed list of deviations from the common wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// Reports usage in the last chunk without being asked, and refuses `stream_options`: Mistral answers 422
    /// `extra_forbidden` to `stream_options.include_usage` (BerriAI/litellm#8978, avante-corp/avante.nvim#2347).
    NoStreamOptions,
}

/// One row: what all instances of a vendor have in common.
#[derive(Debug)]
pub struct Family {
    /// Also the prefix of its environment variables, upper-cased: `OPENAI_API_KEY`.
    pub name: &'static str,
    /// `None`: an instance must name its own.
    pub base_url: Option<&'static str>,
    /// A call without a key is pointless; an instance without one is not made.
    pub needs_key: bool,
    /// Runs on the operator's own machines: costs nothing by declaration, and data does not leave.
    pub self_hosted: bool,
    pub disconnect: Disconnect,
    /// The header that carries our request id upstream.
    pub request_id_header: &'static str,
    /// The request member that bounds a reply, where the caller wrote none.
    pub output_limit: &'static str,
    /// How its replies say what the call cost, where it documents that all of them do. Such a cost goes before usage times price.
    pub cost: Option<CostForm>,
    pub quirks: &'static [Quirk],
}

impl Family {
    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    pub fn by_name(name: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.name == name)
    }

    pub fn all() -> &'static [Self] {
        FAMILIES
    }
}

const fn hosted(name: &'static str, base_url: &'static str, disconnect: Disconnect) -> Family {
    Family {
        name,
        base_url: Some(base_url),
        needs_key: true,
        self_hosted: false,
        disconnect,
        request_id_header: "x-request-id",
        output_limit: "max_tokens",
        cost: None,
        quirks: &[],
    }
}

const fn own(name: &'static str, base_url: Option<&'static str>) -> Family {
    Family {
        name,
        base_url,
        needs_key: false,
        self_hosted: true,
        disconnect: Disconnect::Abort,
        request_id_header: "x-request-id",
        output_limit: "max_tokens",
        cost: None,
        quirks: &[],
    }
}

/// Sources, looked up in November 2026. Base URLs: the vendors' API pages (DeepSeek names <https://api.deepseek.com>, without
/// a version). `disconnect`: openrouter.ai/docs/api-reference/streaming, "Provider Support", lists OpenAI, Together,
/// Fireworks, xAI and DeepSeek as supported, Groq and Mistral as not. `stream_options.include_usage`: Together reports usage
/// only when asked (vercel/ai#17986); OpenRouter ignores it and always reports (its page "Usage Accounting"); DeepSeek's own
/// request example carries it; `LangChain`'s Groq client sends it by default (in May 2024 Groq still refused it,
/// vercel/ai#1578); nothing was found that speaks against xAI and Fireworks.
/// `cost`: OpenRouter's page "Usage Accounting" (in every reply, and in a stream's last event; `usage: {include: true}` is deprecated
/// and without effect) and xAI's page "Cost Tracking" promise it for every reply. Perplexity documents one too and has no row here;
/// what others write is an estimate, or undocumented. A server that nobody knows (`custom`) is not believed.
const FAMILIES: &[Family] = &[
    Family {
        request_id_header: "x-client-request-id",
        output_limit: "max_completion_tokens",
        ..hosted("openai", "https://api.openai.com/v1", Disconnect::Abort)
    },
    Family {
        request_id_header: "x-client-request-id",
        cost: Some(CostForm::Credits),
        ..hosted("openrouter", "https://openrouter.ai/api/v1", Disconnect::Abort)
    },
    Family { output_limit: "max_completion_tokens", ..hosted("groq", "https://api.groq.com/openai/v1", Disconnect::Drain) },
    Family {
        output_limit: "max_completion_tokens",
        cost: Some(CostForm::Ticks),
        ..hosted("xai", "https://api.x.ai/v1", Disconnect::Abort)
    },
    hosted("deepseek", "https://api.deepseek.com", Disconnect::Abort),
    Family { quirks: &[Quirk::NoStreamOptions], ..hosted("mistral", "https://api.mistral.ai/v1", Disconnect::Drain) },
    hosted("together", "https://api.together.xyz/v1", Disconnect::Abort),
    hosted("fireworks", "https://api.fireworks.ai/inference/v1", Disconnect::Abort),
    own("ollama", Some("http://localhost:11434/v1")),
    own("vllm", Some("http://localhost:8000/v1")),
    // A server that speaks the dialect and that we know nothing of: bills as it likes, so its prices must be configured.
    Family { self_hosted: false, disconnect: Disconnect::Drain, ..own("custom", None) },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lower_case() {
        for (i, family) in FAMILIES.iter().enumerate() {
            assert!(FAMILIES[i + 1..].iter().all(|other| other.name != family.name), "{}", family.name);
            assert_eq!(family.name, family.name.to_lowercase());
            assert!(family.base_url.is_none_or(|url| !url.ends_with('/')));
        }
    }
}
