//! Owns: the script: its steps as a person writes them, what makes one wrong, which request takes which, and the steps behind model suffixes.
//! Refuses to know: how a step is carried out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::base64;

/// One step; the module's page lists the members.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Step {
    #[serde(rename = "match")]
    wanted: Wanted,
    times: Option<u32>,
    delay_ms: u64,
    #[serde(deserialize_with = "status")]
    pub(super) status: Option<StatusCode>,
    #[serde(deserialize_with = "headers")]
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Value>,
    pub(super) close: bool,
    pub(super) garbage: bool,
    pub(super) truncate: Option<usize>,
    cut_after_events: Option<usize>,
    end_after_events: Option<usize>,
    stall_after_events: Option<usize>,
    stream_error_after_events: Option<usize>,
    pub(super) stall: bool,
    pub(super) omit_usage: bool,
    pub(super) usage: Option<Value>,
    gap_ms: u64,
    #[serde(deserialize_with = "bytes_of_base64")]
    reply_base64: Option<Bytes>,
    reply_text: Option<String>,
    pub(super) content_type: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    path: Option<String>,
    model: Option<String>,
}

/// How a stream goes wrong, and after how many events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Complete,
    Cut(usize),
    EndEarly(usize),
    Stall(usize),
    Error(usize),
}

impl Step {
    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    pub(super) fn gap(&self) -> Duration {
        Duration::from_millis(self.gap_ms)
    }

    /// The recorded reply, if the step has one.
    pub(super) fn recording(&self) -> Option<Bytes> {
        self.reply_base64.clone().or_else(|| self.reply_text.clone().map(Bytes::from))
    }

    pub(super) fn fate(&self) -> Fate {
        let fates = [
            self.cut_after_events.map(Fate::Cut),
            self.end_after_events.map(Fate::EndEarly),
            self.stall_after_events.map(Fate::Stall),
            self.stream_error_after_events.map(Fate::Error),
        ];
        fates.into_iter().flatten().next().unwrap_or(Fate::Complete)
    }

    fn matches(&self, method: &Method, path: &str, model: Option<&str>) -> bool {
        let path_fits = match &self.wanted.path {
            Some(part) => path.contains(part.as_str()),
            None => method == Method::POST,
        };
        path_fits && self.wanted.model.as_deref().is_none_or(|wanted| Some(wanted) == model)
    }

    /// Members that contradict each other are a mistake in the script; saying so beats picking one.
    fn check(self) -> Result<Self, String> {
        let replies = [
            ("close", self.close),
            ("stall", self.stall),
            ("garbage", self.garbage),
            ("body", self.body.is_some()),
            ("reply_base64", self.reply_base64.is_some()),
            ("reply_text", self.reply_text.is_some()),
        ];
        let fates = [
            ("cut_after_events", self.cut_after_events.is_some()),
            ("end_after_events", self.end_after_events.is_some()),
            ("stall_after_events", self.stall_after_events.is_some()),
            ("stream_error_after_events", self.stream_error_after_events.is_some()),
        ];
        let usages = [("omit_usage", self.omit_usage), ("usage", self.usage.is_some())];
        for group in [replies.as_slice(), &fates, &usages] {
            let given: Vec<_> = group.iter().filter(|(_, given)| *given).map(|(name, _)| format!("`{name}`")).collect();
            if given.len() > 1 {
                return Err(format!("{} exclude each other", given.join(" and ")));
            }
        }
        if self.content_type.is_some() && self.body.is_none() && self.recording().is_none() {
            return Err("`content_type` needs `body`, `reply_text` or `reply_base64`".into());
        }
        if self.content_type.as_deref().is_some_and(|text| HeaderValue::from_str(text).is_err()) {
            return Err("`content_type` is not a header value".into());
        }
        Ok(self)
    }
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StatusCode>, D::Error> {
    let Some(code) = Option::<u16>::deserialize(deserializer)? else { return Ok(None) };
    let status = StatusCode::from_u16(code).ok().filter(|_| (200..600).contains(&code));
    status.map(Some).ok_or_else(|| de::Error::custom(format!("`status` must be 200 to 599, not {code}")))
}

fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderMap, D::Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in BTreeMap::<String, String>::deserialize(deserializer)? {
        let Ok(header) = HeaderName::try_from(name.as_str()) else {
            return Err(de::Error::custom(format!("`{name}` is not a header name")));
        };
        if header == header::CONTENT_LENGTH || header == header::TRANSFER_ENCODING {
            return Err(de::Error::custom(format!("`{name}` is the twin's to write; `truncate` and `cut_after_events` break the framing")));
        }
        let value = HeaderValue::try_from(value).map_err(|_| de::Error::custom(format!("the value of `{name}` is not a header value")))?;
        headers.insert(header, value);
    }
    Ok(headers)
}

fn bytes_of_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    base64::decode(&text).map(|bytes| Some(bytes.into())).map_err(|fault| de::Error::custom(format!("`reply_base64`: {fault}")))
}

/// The steps that wait for a request.
#[derive(Default)]
pub(super) struct Script {
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    step: Arc<Step>,
    /// None: for all requests that follow.
    times_left: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped {
    steps: Vec<Value>,
    #[serde(default)]
    append: bool,
}

impl Script {
    /// Takes over the steps, all or none, and returns how many now wait.
    pub(super) fn load(&mut self, steps_json: &[u8]) -> Result<usize, String> {
        let document: Value = serde_json::from_slice(steps_json).map_err(|e| format!("the script is not JSON: {e}"))?;
        let Wrapped { steps, append } = match document {
            Value::Array(steps) => Wrapped { steps, append: false },
            object => Wrapped::deserialize(object).map_err(|e| format!("a script is an array of steps or {{\"steps\": [..]}}: {e}"))?,
        };
        let mut parsed = Vec::with_capacity(steps.len());
        for (at, step) in steps.into_iter().enumerate() {
            if !step.is_object() {
                return Err(format!("step {at}: a step is a JSON object"));
            }
            let step = Step::deserialize(step).map_err(|e| e.to_string()).and_then(Step::check);
            parsed.push(step.map_err(|fault| format!("step {at}: {fault}"))?);
        }
        if !append {
            self.waiting.clear();
        }
        self.waiting.extend(parsed.into_iter().map(|step| {
            let times_left = Some(step.times.unwrap_or(1)).filter(|times| *times > 0);
            Waiting { step: Arc::new(step), times_left }
        }));
        Ok(self.waiting.len())
    }

    /// The first step that fits, counted off.
    pub(super) fn take(&mut self, method: &Method, path: &str, model: Option<&str>) -> Option<Arc<Step>> {
        let at = self.waiting.iter().position(|waiting| waiting.step.matches(method, path, model))?;
        let waiting = self.waiting.get_mut(at)?;
        let step = Arc::clone(&waiting.step);
        if let Some(left) = &mut waiting.times_left {
            *left -= 1;
            if *left == 0 {
                self.waiting.remove(at);
            }
        }
        Some(step)
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

/// The step behind a model name such as `twin-small!429`; None without a suffix.
pub(super) fn step_of_suffix(model: &str) -> Option<Result<Step, String>> {
    let (_, suffix) = model.rsplit_once('!')?;
    let step = match suffix {
        "stall" => Step { stall: true, ..Step::default() },
        "cut" => Step { cut_after_events: Some(3), truncate: Some(64), ..Step::default() },
        "garbage" => Step { garbage: true, ..Step::default() },
        "no-usage" => Step { omit_usage: true, ..Step::default() },
        "slow" => Step { delay_ms: 400, gap_ms: 80, ..Step::default() },
        digits => match digits.parse().ok().filter(|code| (400..600).contains(code)).and_then(|code| StatusCode::from_u16(code).ok()) {
            Some(status) => failing(status),
            None => return Some(Err(format!("unknown suffix '!{digits}': 400 to 599, stall, cut, garbage, no-usage and slow are known"))),
        },
    };
    Some(Ok(step))
}

fn failing(status: StatusCode) -> Step {
    let mut headers = HeaderMap::new();
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Step { status: Some(status), headers, ..Step::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(json: &str) -> Script {
        let mut script = Script::default();
        script.load(json.as_bytes()).unwrap();
        script
    }

    fn fault(json: &str) -> String {
        Script::default().load(json.as_bytes()).unwrap_err()
    }

    fn taken(script: &mut Script, path: &str, model: &str) -> Option<u16> {
        script.take(&Method::POST, path, Some(model)).map(|step| step.status.map_or(0, |status| status.as_u16()))
    }

    #[test]
    fn steps_go_to_the_first_request_that_fits() {
        let mut script =
            loaded(r#"[{"match":{"model":"a"},"status":500},{"match":{"path":"embed"},"status":501},{"times":2,"status":502}]"#);
        assert_eq!(taken(&mut script, "/v1/embeddings", "b"), Some(501));
        assert_eq!(taken(&mut script, "/v1/chat/completions", "b"), Some(502));
        assert_eq!(taken(&mut script, "/v1/chat/completions", "a"), Some(500));
        assert_eq!(script.take(&Method::GET, "/v1/models", None).map(|_| ()), None, "a model list takes no step that names no path");
        assert_eq!(taken(&mut script, "/v1/chat/completions", "a"), Some(502));
        assert_eq!(taken(&mut script, "/v1/chat/completions", "a"), None);
    }

    #[test]
    fn zero_times_is_forever_and_append_keeps_the_rest() {
        let mut script = loaded(r#"{"steps":[{"times":0,"match":{"model":"a"},"status":503}]}"#);
        assert_eq!(script.load(br#"{"steps":[{"status":500}],"append":true}"#), Ok(2));
        assert!((0..5).all(|_| taken(&mut script, "/", "a") == Some(503)));
        assert_eq!(taken(&mut script, "/", "b"), Some(500));
        assert_eq!(script.load(b"[]"), Ok(0));
    }

    #[test]
    fn faults_are_told_with_their_step() {
        assert!(fault("nonsense").starts_with("the script is not JSON"));
        assert!(fault("3").starts_with("a script is an array of steps"));
        assert!(fault(r#"{"stepz":[]}"#).contains("unknown field `stepz`"));
        assert!(fault(r#"[{}, {"statu": 3}]"#).starts_with("step 1: unknown field `statu`"));
        assert!(fault(r"[[]]").contains("step 0: a step is a JSON object"));
        assert!(fault(r#"[{"status": 99}]"#).contains("200 to 599"));
        assert!(fault(r#"[{"reply_base64": "?"}]"#).contains("groups of four"));
        assert!(fault(r#"[{"headers": {"content-length": "3"}}]"#).contains("the twin's to write"));
        assert_eq!(fault(r#"[{"close": true, "stall": true}]"#), "step 0: `close` and `stall` exclude each other");
        assert!(fault(r#"[{"cut_after_events": 1, "stall_after_events": 1}]"#).contains("exclude each other"));
        assert!(fault(r#"[{"content_type": "text/plain"}]"#).contains("needs `body`"));
    }

    #[test]
    fn a_bad_script_changes_nothing() {
        let mut script = loaded(r#"[{"status":500}]"#);
        assert!(script.load(br#"[{"status":501},{"x":1}]"#).is_err());
        assert_eq!(taken(&mut script, "/", "m"), Some(500));
    }

    #[test]
    fn suffixes_are_steps() {
        let step = |name| step_of_suffix(name).unwrap().unwrap();
        assert!(step_of_suffix("twin-small").is_none());
        assert_eq!(step("twin-small!429").headers[header::RETRY_AFTER], "1");
        assert_eq!(step("twin-small!500").status, Some(StatusCode::INTERNAL_SERVER_ERROR));
        assert!(step("x!stall").stall && step("x!garbage").garbage && step("x!no-usage").omit_usage);
        assert_eq!(step("x!cut").fate(), Fate::Cut(3));
        assert!(step("x!slow").gap() > Duration::ZERO);
        assert!(step_of_suffix("x!fast").unwrap().unwrap_err().contains("'!fast'"));
        assert!(step_of_suffix("x!200").unwrap().is_err());
    }
}
