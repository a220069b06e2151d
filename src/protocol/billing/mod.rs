//! Owns: what providers say they bill: their usage and cost files, one reader a format, bytes in, rows out.
//! Refuses to know: files and networks, our own orders, whether a row is right (domain/reconcile).
//!
//! Counts are taken apart into the meters our ledger has, money is read from decimal text exactly, times become UTC days. A
//! row that is not understood is named with its reason, never guessed and never dropped.

mod anthropic;
mod aws;
mod bill;
mod focus;
mod openai;
mod openrouter;
mod pages;
mod sheet;
mod time;
mod words;

use super::decimal;
pub use bill::{Bill, BillRow, Counter, Counts, LineKind, Unread};

/// Whose file it is, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Organization usage (completions, embeddings, images, audio and the rest) and costs, JSON.
    OpenAi,
    /// Messages usage report and cost report, JSON.
    Anthropic,
    /// Activity, JSON of the API or CSV of the site.
    OpenRouter,
    /// Cost and usage report, legacy or Data Exports (CUR 2.0), CSV: the lines of Bedrock.
    AwsCur,
    /// FOCUS 1.2, CSV: the lines of AI services.
    Focus,
}

impl Format {
    pub const ALL: [Self; 5] = [Self::OpenAi, Self::Anthropic, Self::OpenRouter, Self::AwsCur, Self::Focus];

    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::OpenRouter => "openrouter",
            Self::AwsCur => "aws-cur",
            Self::Focus => "focus",
        }
    }

    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// USD as decimal text, however fine, in nano-units; `None` if it is no amount.
pub fn usd(text: &str) -> Option<crate::base::Exact> {
    decimal::amount(text, decimal::USD)
}

/// The format of a file, by what it holds; by its name only where it holds nothing that tells.
pub fn detect(bytes: &[u8], name: &str) -> Option<Format> {
    let found = if pages::looks_like_json(bytes) { pages::detect(bytes) } else { sheet::detect(bytes) };
    let name = name.to_ascii_lowercase();
    found.or_else(|| Format::ALL.into_iter().find(|format| name.contains(format.name())))
}

/// Adds to `bill` what a file says. `Err`: it is no file of this format at all.
pub fn read(format: Format, bytes: &[u8], bill: &mut Bill) -> Result<(), String> {
    let json = pages::looks_like_json(bytes);
    bill.next_file();
    match format {
        Format::OpenAi => openai::read(bytes, bill),
        Format::Anthropic => anthropic::read(bytes, bill),
        Format::OpenRouter if json => openrouter::read_json(bytes, bill),
        Format::OpenRouter => openrouter::read_csv(bytes, bill),
        Format::AwsCur => aws::read(bytes, bill),
        Format::Focus => focus::read(bytes, bill),
    }
}

#[cfg(test)]
mod tests;
