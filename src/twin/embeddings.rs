//! Owns: embeddings: unit vectors that depend on the words alone, so that texts which share words lie close together.
//! Refuses to know: how a reply is delivered.

use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Call, UsageScript, read_json};
use super::base64;
use super::reply::Reply;
use super::text::{self, Dice};

const DIMENSIONS_DEFAULT: usize = 16;
const DIMENSIONS_MAX: usize = 4096;
const INPUTS_MAX: usize = 2048;

#[derive(Deserialize)]
struct EmbeddingsRequest {
    model: Option<String>,
    input: Option<Value>,
    dimensions: Option<usize>,
    encoding_format: Option<String>,
}

/// One text, or its token numbers.
enum Input {
    Text(String),
    TokenIds(Vec<u64>),
}

/// `POST /embeddings`.
pub(super) fn reply(call: &Call, usage: UsageScript) -> Reply {
    read_json::<EmbeddingsRequest>(&call.body).and_then(|request| request.embed(usage)).unwrap_or_else(|refusal| refusal)
}

impl EmbeddingsRequest {
    fn embed(self, usage: UsageScript) -> Result<Reply, Reply> {
        let Some(model) = self.model.filter(|model| !model.is_empty()) else {
            return Err(Reply::bad_request(Some("model"), "you must provide a model parameter"));
        };
        let dimensions = self.dimensions.unwrap_or(DIMENSIONS_DEFAULT);
        if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
            return Err(Reply::bad_request(Some("dimensions"), format!("'dimensions' must be between 1 and {DIMENSIONS_MAX}.")));
        }
        let as_base64 = match self.encoding_format.as_deref() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(other) => {
                return Err(Reply::bad_request(Some("encoding_format"), format!("'{other}' is not one of 'float' and 'base64'.")));
            }
        };
        let inputs = self.input.and_then(inputs).filter(|inputs| (1..=INPUTS_MAX).contains(&inputs.len()));
        let Some(inputs) = inputs else {
            return Err(Reply::bad_request(
                Some("input"),
                format!("'input' must be a string, 1 to {INPUTS_MAX} strings, or token arrays."),
            ));
        };
        let item = |(index, input): (usize, &Input)| {
            let vector = input.vector(dimensions);
            let embedding = if as_base64 { json!(base64_of(&vector)) } else { json!(vector) };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        };
        let data: Vec<Value> = inputs.iter().enumerate().map(item).collect();
        let tokens: u64 = inputs.iter().map(Input::tokens).sum();
        let mut body = json!({"object": "list", "data": data, "model": model});
        if let Some(usage) = usage.apply(json!({"prompt_tokens": tokens, "total_tokens": tokens})) {
            body["usage"] = usage;
        }
        Ok(Reply::ok(&body))
    }
}

/// A string, strings, token numbers, or arrays of them; an array must be of one kind.
fn inputs(input: Value) -> Option<Vec<Input>> {
    match input {
        Value::String(text) => Some(vec![Input::Text(text)]),
        Value::Array(items) if items.first().is_some_and(Value::is_number) => Some(vec![token_ids(&Value::Array(items))?]),
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Some(Input::Text(text)),
                Value::Array(_) => token_ids(&item),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn token_ids(items: &Value) -> Option<Input> {
    items.as_array()?.iter().map(Value::as_u64).collect::<Option<Vec<_>>>().map(Input::TokenIds)
}

impl Input {
    fn tokens(&self) -> u64 {
        match self {
            Self::Text(text) => text::token_count(text).max(1),
            Self::TokenIds(ids) => ids.len() as u64,
        }
    }

    /// The sum of one repeatable direction per word, scaled to length 1.
    #[expect(clippy::cast_possible_truncation, reason = "embeddings are single precision on the wire")]
    fn vector(&self, dimensions: usize) -> Vec<f32> {
        let mut sum = vec![0.0_f64; dimensions];
        let mut add = |seed: u64| {
            let mut dice = Dice::new(seed);
            for x in &mut sum {
                *x += dice.signed_unit();
            }
        };
        match self {
            Self::Text(text) => {
                let mut words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).peekable();
                if words.peek().is_none() {
                    add(text::fingerprint(text.as_bytes()));
                }
                words.for_each(|word| add(text::fingerprint(word.to_lowercase().as_bytes())));
            }
            Self::TokenIds(ids) => ids.iter().for_each(|id| add(*id)),
        }
        let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length == 0.0 {
            sum[0] = 1.0;
            return sum.into_iter().map(|x| x as f32).collect();
        }
        sum.into_iter().map(|x| (x / length) as f32).collect()
    }
}

/// Little-endian f32, as OpenAI's own clients ask for.
fn base64_of(vector: &[f32]) -> String {
    base64::encode(&vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(text: &str) -> Vec<f32> {
        Input::Text(text.into()).vector(DIMENSIONS_DEFAULT)
    }

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn vectors_are_units_and_near_where_words_are_shared() {
        for text in ["hello", "", "  ", "the quick brown fox"] {
            let v = vector(text);
            assert_eq!(v, vector(text));
            assert!((cosine(&v, &v) - 1.0).abs() < 1e-5, "{text:?}");
        }
        let question = vector("what is the capital of France");
        assert!(cosine(&question, &vector("What is the capital of France?")) > 0.999);
        assert!(cosine(&question, &vector("what is the capital of Italy")) > cosine(&question, &vector("bake two loaves")));
        assert_eq!(Input::TokenIds(Vec::new()).vector(4), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn inputs_of_every_kind() {
        assert_eq!(inputs(json!("a")).unwrap().len(), 1);
        assert_eq!(inputs(json!(["a", "b"])).unwrap().len(), 2);
        assert_eq!(inputs(json!([1, 2, 3])).unwrap().len(), 1);
        assert_eq!(inputs(json!([[1], [2, 3]])).unwrap().len(), 2);
        assert!(inputs(json!([1, "a"])).is_none());
        assert!(inputs(json!({"a": 1})).is_none());
    }

    #[test]
    fn base64_holds_the_same_numbers() {
        let v = vector("same");
        let bytes = base64::decode(&base64_of(&v)).unwrap();
        let back: Vec<f32> = bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        assert_eq!(back, v);
    }
}
