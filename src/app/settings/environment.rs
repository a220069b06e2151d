//! Owns: reading one environment variable, and secrets that stand in a file named by `..._FILE`.
//! Refuses to know: which variables there are (reference) and what they mean.

use super::scalar::{Scalar, wrong};
use crate::base::Result;
use std::collections::HashMap;
use std::io::Read;

/// A secret's file larger than this is not one.
const SECRET_LIMIT_BYTES: u64 = 64 << 10;

/// A variable that is set; an empty one is not.
pub(super) fn variable(env: &HashMap<String, String>, name: &str) -> Option<Scalar> {
    let text = env.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())?;
    Some(Scalar { place: name.into(), text: text.into(), shown: Some(text.into()) })
}

/// A variable whose value is never shown, given by itself or as `<name>_FILE`, the path of a file that holds it.
pub(super) fn secret_variable(env: &HashMap<String, String>, name: &str) -> Result<Option<Scalar>> {
    let file = format!("{name}_FILE");
    match (variable(env, name), variable(env, &file)) {
        (Some(_), Some(_)) => Err(wrong(&file, format!("{name} is set as well; set only one of the two"))),
        (Some(value), None) => Ok(Some(Scalar { shown: None, ..value })),
        (None, Some(path)) => {
            let mut text = String::new();
            let opened = std::fs::File::open(&path.text);
            let read = opened.and_then(|file| file.take(SECRET_LIMIT_BYTES).read_to_string(&mut text));
            read.map_err(|error| wrong(&file, format!("the file it names cannot be read: {error}")))?;
            match text.trim() {
                "" => Err(wrong(&file, "the file it names is empty")),
                secret => Ok(Some(Scalar { place: file, text: secret.into(), shown: None })),
            }
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_may_stand_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "sk-1\n").unwrap();
        let mut env = HashMap::from([("K_FILE".to_owned(), path.display().to_string())]);
        assert_eq!(secret_variable(&env, "K").unwrap().unwrap().text, "sk-1");
        env.insert("K".into(), "sk-2".into());
        assert!(secret_variable(&env, "K").unwrap_err().message.contains("only one of the two"));
        env.insert("K_FILE".into(), String::new());
        assert_eq!(secret_variable(&env, "K").unwrap().unwrap().text, "sk-2");
        env.insert("K".into(), String::new());
        env.insert("K_FILE".into(), dir.path().join("none").display().to_string());
        assert!(secret_variable(&env, "K").unwrap_err().message.starts_with("K_FILE: the file it names cannot be read"));
        std::fs::write(&path, "\n").unwrap();
        env.insert("K_FILE".into(), path.display().to_string());
        assert!(secret_variable(&env, "K").unwrap_err().message.contains("is empty"));
    }
}
