//! Owns: a chat completion: reading the request, refusing what OpenAI refuses, and deciding what is said and how many tokens it took.
//! Refuses to know: the JSON of the reply (`completion`) and how it is delivered.

use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Call, UsageScript, read_json};
use super::completion::{Choice, Completion, Finish, Said, Tokens};
use super::reply::Reply;
use super::{schema, text};

const CHOICES_MAX: u32 = 128;
const MESSAGE_TOKENS: u64 = 4;
/// Images, audio and files.
const PART_TOKENS: u64 = 85;

#[derive(Deserialize)]
struct ChatRequest {
    model: Option<String>,
    messages: Option<Vec<Message>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    response_format: Option<Value>,
    n: Option<u32>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    reasoning_effort: Option<String>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Value,
    tool_calls: Option<Value>,
}

/// `POST /chat/completions`.
pub(super) fn reply(call: &Call, usage: UsageScript) -> Reply {
    match read_json::<ChatRequest>(&call.body).and_then(|request| request.complete(call.seed())) {
        Ok((completion, None)) => completion.whole(usage),
        Ok((completion, Some(stream))) => completion.stream(stream.include_usage.unwrap_or(false), usage),
        Err(refusal) => refusal,
    }
}

impl ChatRequest {
    fn complete(self, seed: u64) -> Result<(Completion, Option<StreamOptions>), Reply> {
        let Some(model) = self.model.as_deref().filter(|model| !model.is_empty()) else {
            return Err(Reply::bad_request(Some("model"), "you must provide a model parameter"));
        };
        let Some(messages) = self.messages.as_deref().filter(|messages| !messages.is_empty()) else {
            return Err(Reply::bad_request(Some("messages"), "'messages' must be an array with at least one message."));
        };
        let count = self.n.unwrap_or(1);
        if !(1..=CHOICES_MAX).contains(&count) {
            return Err(Reply::bad_request(Some("n"), format!("'n' must be between 1 and {CHOICES_MAX}.")));
        }
        let limit = self.max_completion_tokens.or(self.max_tokens).unwrap_or(u64::MAX);
        if limit == 0 {
            return Err(Reply::bad_request(Some("max_tokens"), "'max_tokens' must be at least 1."));
        }
        let thought = self.reasoning_tokens(model).min(limit);
        let tool = self.tool(messages)?;
        let choices: Vec<Choice> = (0..u64::from(count))
            .map(|index| {
                let said = tool.map_or_else(|| Said::Text(self.text(messages, index)), |tool| said_by_call(tool, seed.wrapping_add(index)));
                within(said, limit - thought)
            })
            .collect();
        let tokens = Tokens {
            prompt: self.prompt_tokens(messages),
            completion: choices.iter().map(|choice| choice.pieces.len() as u64 + thought).sum(),
            reasoning: thought * u64::from(count),
        };
        let completion = Completion { id: text::id("chatcmpl-", seed, 29), model: model.to_owned(), choices, tokens };
        let stream = self.stream.unwrap_or(false).then(|| self.stream_options.unwrap_or(StreamOptions { include_usage: None }));
        Ok((completion, stream))
    }

    /// The tool that is called: the chosen one, or the first; none once its result is there.
    fn tool(&self, messages: &[Message]) -> Result<Option<&Value>, Reply> {
        let mut functions = self.tools.iter().flatten().filter_map(|tool| tool.get("function"));
        let chosen = match &self.tool_choice {
            Some(Value::String(word)) if word == "none" => return Ok(None),
            Some(choice) => choice.pointer("/function/name").and_then(Value::as_str),
            None => None,
        };
        if let Some(name) = chosen {
            let found = functions.find(|function| function.get("name").and_then(Value::as_str) == Some(name));
            return found
                .map(Some)
                .ok_or_else(|| Reply::bad_request(Some("tool_choice"), format!("Tool choice '{name}' not found in 'tools' parameter.")));
        }
        let answered = messages.last().is_some_and(|message| message.role == "tool");
        Ok(functions.next().filter(|_| !answered))
    }

    fn text(&self, messages: &[Message], variant: u64) -> String {
        let format = self.response_format.as_ref();
        let spoken = || match messages.last() {
            Some(last) if last.role == "tool" => text::answer("The tool returned", &last.text(), variant),
            Some(_) | None => {
                let question = messages.iter().rev().find(|message| message.role == "user").map(Message::text).unwrap_or_default();
                text::answer("You asked:", &question, variant)
            }
        };
        match format.and_then(|format| format.get("type")).and_then(Value::as_str) {
            Some("json_schema") => {
                let schema = format.and_then(|format| format.pointer("/json_schema/schema"));
                schema.map_or_else(|| json!({}), schema::sample).to_string()
            }
            Some("json_object") => json!({"answer": spoken()}).to_string(),
            Some(_) | None => spoken(),
        }
    }

    fn reasoning_tokens(&self, model: &str) -> u64 {
        if !model.starts_with("twin-reasoner") {
            return 0;
        }
        match self.reasoning_effort.as_deref() {
            Some("none") => 0,
            Some("minimal") => 8,
            Some("low") => 32,
            Some("high") => 256,
            Some(_) | None => 64,
        }
    }

    fn prompt_tokens(&self, messages: &[Message]) -> u64 {
        let tools = self.tools.iter().flatten().map(|tool| text::token_count(&tool.to_string())).sum::<u64>();
        messages.iter().map(Message::tokens).sum::<u64>() + tools
    }
}

impl Message {
    fn parts(&self) -> impl Iterator<Item = &Value> {
        self.content.as_array().into_iter().flatten()
    }

    fn text(&self) -> String {
        let parts = self.parts().filter_map(|part| part.get("text")?.as_str());
        self.content.as_str().into_iter().chain(parts).collect::<Vec<_>>().join(" ")
    }

    fn tokens(&self) -> u64 {
        let calls = self.tool_calls.as_ref().filter(|calls| !calls.is_null()).map_or(0, |calls| text::token_count(&calls.to_string()));
        let others = self.parts().filter(|part| part.get("text").is_none()).map(|_| PART_TOKENS).sum::<u64>();
        MESSAGE_TOKENS + text::token_count(&self.text()) + calls + others
    }
}

fn said_by_call(function: &Value, seed: u64) -> Said {
    let name = function.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let arguments = match function.get("parameters").map(schema::sample) {
        Some(Value::Object(members)) => Value::Object(members),
        Some(_) | None => json!({}),
    };
    Said::Call { id: text::id("call_", seed, 24), name, arguments: arguments.to_string() }
}

/// What was said, in tokens, and cut at the limit.
fn within(said: Said, limit: u64) -> Choice {
    let (full, finish) = match &said {
        Said::Text(full) => (full, Finish::Stop),
        Said::Call { arguments, .. } => (arguments, Finish::ToolCalls),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut pieces: Vec<String> = text::pieces(full).map(str::to_owned).collect();
    let finish = if pieces.len() > limit { Finish::Length } else { finish };
    pieces.truncate(limit);
    Choice { said, pieces, finish }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(request: Value) -> Completion {
        ChatRequest::deserialize(request).unwrap().complete(1).map(|(completion, _)| completion).map_err(|_| "refused").unwrap()
    }

    fn user(question: &str) -> Value {
        json!([{"role": "user", "content": question}])
    }

    fn weather() -> Value {
        let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
        json!([{"type": "function", "function": {"name": "weather", "parameters": parameters}}])
    }

    #[test]
    fn tokens_are_pieces() {
        let completion = completed(json!({"model": "m", "messages": user("one two three"), "n": 2}));
        assert_eq!(completion.tokens.prompt, 7);
        assert_eq!(completion.tokens.completion, completion.choices.iter().map(|c| c.pieces.len() as u64).sum::<u64>());
        assert_ne!(completion.choices[0].pieces, completion.choices[1].pieces);
        let image =
            json!([{"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:"}}]}]);
        assert_eq!(completed(json!({"model": "m", "messages": image})).tokens.prompt, 4 + 1 + 85);
    }

    #[test]
    fn the_limit_holds_and_covers_reasoning() {
        let short = completed(json!({"model": "m", "messages": user("hi"), "max_tokens": 3}));
        assert_eq!((short.choices[0].pieces.len(), short.choices[0].finish), (3, Finish::Length));
        let thinking = completed(json!({"model": "twin-reasoner", "messages": user("hi"), "max_completion_tokens": 20}));
        assert_eq!((thinking.tokens.reasoning, thinking.tokens.completion), (20, 20));
        assert_eq!(completed(json!({"model": "twin-reasoner", "messages": user("hi")})).tokens.reasoning, 64);
    }

    #[test]
    fn tools_are_called_until_they_have_answered() {
        let called = completed(json!({"model": "m", "messages": user("hi"), "tools": weather()}));
        assert!(
            matches!(&called.choices[0].said, Said::Call { name, arguments, .. } if name == "weather" && arguments == r#"{"city":"some city"}"#)
        );
        assert_eq!(called.choices[0].finish, Finish::ToolCalls);
        let none = completed(json!({"model": "m", "messages": user("hi"), "tools": weather(), "tool_choice": "none"}));
        assert!(matches!(none.choices[0].said, Said::Text(_)));
        let done = json!([{"role": "user", "content": "hi"}, {"role": "tool", "tool_call_id": "c", "content": "sunny"}]);
        let answered = completed(json!({"model": "m", "messages": done, "tools": weather()}));
        assert!(matches!(&answered.choices[0].said, Said::Text(text) if text.contains("sunny")));
    }

    #[test]
    fn formats_give_json() {
        let schema = json!({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]});
        let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
        let said = |format: Value| match completed(json!({"model": "m", "messages": user("a \"b\""), "response_format": format}))
            .choices
            .remove(0)
            .said
        {
            Said::Text(text) => serde_json::from_str::<Value>(&text).unwrap(),
            Said::Call { .. } => panic!("text was asked for"),
        };
        assert_eq!(said(format), json!({"ok": true}));
        assert!(said(json!({"type": "json_object"}))["answer"].is_string());
    }

    #[test]
    fn refusals() {
        for (request, param) in [
            (json!({"messages": user("x")}), "model"),
            (json!({"model": "m"}), "messages"),
            (json!({"model": "m", "messages": []}), "messages"),
            (json!({"model": "m", "messages": user("x"), "n": 0}), "n"),
            (json!({"model": "m", "messages": user("x"), "max_tokens": 0}), "max_tokens"),
            (json!({"model": "m", "messages": user("x"), "tools": weather(), "tool_choice": {"function": {"name": "y"}}}), "tool_choice"),
        ] {
            let refusal = ChatRequest::deserialize(request).unwrap().complete(1).err().unwrap();
            let super::super::reply::Payload::Whole(body) = refusal.payload else { panic!("a refusal is whole") };
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["error"]["param"], param);
        }
    }
}
