//! Owns: OpenAI's JSON for a chat completion, whole and as a stream. Refuses to know: why the model said it.

use serde_json::{Map, Value, json};

use super::api::{CREATED, UsageScript};
use super::reply::{Reply, event};

const SYSTEM_FINGERPRINT: &str = "fp_twin000001";

pub(super) struct Completion {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) choices: Vec<Choice>,
    pub(super) tokens: Tokens,
}

pub(super) struct Choice {
    pub(super) said: Said,
    /// The text or the arguments in tokens, as far as the limit allowed.
    pub(super) pieces: Vec<String>,
    pub(super) finish: Finish,
}

pub(super) enum Said {
    Text(String),
    Call { id: String, name: String, arguments: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    Stop,
    Length,
    ToolCalls,
}

pub(super) struct Tokens {
    pub(super) prompt: u64,
    /// Includes reasoning.
    pub(super) completion: u64,
    pub(super) reasoning: u64,
}

impl Finish {
    const fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
        }
    }
}

impl Tokens {
    fn to_json(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0
            },
        })
    }
}

impl Choice {
    fn message(&self) -> Value {
        let joined = self.pieces.concat();
        match &self.said {
            Said::Text(_) => json!({"role": "assistant", "content": joined, "refusal": null, "annotations": []}),
            Said::Call { id, name, .. } => {
                let call = json!({"id": id, "type": "function", "function": {"name": name, "arguments": joined}});
                json!({"role": "assistant", "content": null, "tool_calls": [call], "refusal": null, "annotations": []})
            }
        }
    }

    /// The deltas in order: who speaks, then token by token.
    fn deltas(&self) -> Vec<Value> {
        let (opening, piece): (Value, fn(&String) -> Value) = match &self.said {
            Said::Text(_) => (json!({"role": "assistant", "content": "", "refusal": null}), |piece| json!({"content": piece})),
            Said::Call { id, name, .. } => {
                let call = json!({"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": ""}});
                let opening = json!({"role": "assistant", "content": null, "tool_calls": [call], "refusal": null});
                (opening, |piece| json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}))
            }
        };
        let mut deltas = vec![opening];
        deltas.extend(self.pieces.iter().map(piece));
        deltas
    }
}

impl Completion {
    pub(super) fn whole(&self, usage: UsageScript) -> Reply {
        let choice = |(index, choice): (usize, &Choice)| json!({"index": index, "message": choice.message(), "logprobs": null, "finish_reason": choice.finish.word()});
        let mut body = self.head("chat.completion");
        body.insert("choices".into(), self.choices.iter().enumerate().map(choice).collect());
        if let Some(usage) = usage.apply(self.tokens.to_json()) {
            body.insert("usage".into(), usage);
        }
        body.extend(tail());
        Reply::ok(&Value::Object(body))
    }

    /// Choices are interleaved token by token, as providers do. The usage chunk comes only when it was asked for.
    pub(super) fn stream(&self, include_usage: bool, usage: UsageScript) -> Reply {
        let deltas: Vec<Vec<Value>> = self.choices.iter().map(Choice::deltas).collect();
        let longest = deltas.iter().map(Vec::len).max().unwrap_or(0);
        let mut events = Vec::new();
        for turn in 0..longest {
            for (index, deltas) in deltas.iter().enumerate() {
                if let Some(delta) = deltas.get(turn) {
                    events.push(event(self.chunk(&chunk_choice(index, delta, None), include_usage)));
                }
            }
        }
        let content_events = events.len();
        for (index, choice) in self.choices.iter().enumerate() {
            events.push(event(self.chunk(&chunk_choice(index, &json!({}), Some(choice.finish)), include_usage)));
        }
        if let Some(usage) = usage.apply(self.tokens.to_json()).filter(|_| include_usage) {
            let mut chunk = self.head("chat.completion.chunk");
            chunk.extend(tail());
            chunk.insert("choices".into(), json!([]));
            chunk.insert("usage".into(), usage);
            events.push(event(Value::Object(chunk)));
        }
        events.push(event("[DONE]"));
        let closing = events.len() - content_events;
        Reply::stream(events, closing)
    }

    fn head(&self, object: &str) -> Map<String, Value> {
        Map::from_iter([
            ("id".into(), json!(self.id)),
            ("object".into(), json!(object)),
            ("created".into(), json!(CREATED)),
            ("model".into(), json!(self.model)),
        ])
    }

    fn chunk(&self, choice: &Value, include_usage: bool) -> Value {
        let mut chunk = self.head("chat.completion.chunk");
        chunk.extend(tail());
        chunk.insert("choices".into(), json!([choice]));
        if include_usage {
            chunk.insert("usage".into(), Value::Null);
        }
        Value::Object(chunk)
    }
}

fn chunk_choice(index: usize, delta: &Value, finish: Option<Finish>) -> Value {
    json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": finish.map(Finish::word)})
}

fn tail() -> [(String, Value); 2] {
    [("service_tier".into(), json!("default")), ("system_fingerprint".into(), json!(SYSTEM_FINGERPRINT))]
}
