//! Owns: the file of the key that signs anchors: read, or made at first need, readable for its owner only.
//! Refuses to know: what is signed with it.

use crate::base::{Error, ErrorKind, Result, Secret};
use crate::domain::ledger::AnchorKey;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// A larger file is no key.
const KEY_LIMIT_BYTES: u64 = 64 << 10;

fn wrong(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Configuration, format!("the key for anchors '{}' {why}", path.display()))
}

/// The key, or `None` if there is no such file.
pub fn load(path: &Path) -> Result<Option<AnchorKey>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(path, format!("cannot be read: {error}"))),
    };
    let mut text = String::new();
    file.take(KEY_LIMIT_BYTES).read_to_string(&mut text).map_err(|error| wrong(path, format!("cannot be read: {error}")))?;
    let key = AnchorKey::parse(&Secret::new(text));
    key.map(Some).ok_or_else(|| {
        wrong(path, "is not an Ed25519 key: 64 hexadecimal digits, or PEM as `openssl genpkey -algorithm ed25519` writes it")
    })
}

/// The key; without a file, one is made. Of several processes that make one at once, one wins and all use it.
pub fn load_or_make(path: &Path) -> Result<AnchorKey> {
    if let Some(key) = load(path)? {
        return Ok(key);
    }
    let (_, text) = AnchorKey::generate()?;
    write_new(path, &text).map_err(|error| wrong(path, format!("cannot be made: {error}")))?;
    load(path)?.ok_or_else(|| wrong(path, "was there and is gone"))
}

/// Puts a whole file at `path`, or leaves what is there: written aside, then linked to its name.
fn write_new(path: &Path, text: &Secret) -> std::io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".new-{}-{}", std::process::id(), fastrand::u32(..)));
    let aside = PathBuf::from(aside);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&aside)?;
    let written = file.write_all(text.expose().as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&aside, path));
    let removed = fs::remove_file(&aside);
    match linked {
        Err(error) if error.kind() == IoErrorKind::AlreadyExists => removed,
        Err(error) => Err(error),
        Ok(()) => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gotoai.db.ledger.key");
        assert!(load(&path).unwrap().is_none());
        let made: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..4).map(|_| scope.spawn(|| load_or_make(&path).unwrap().public_key())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(made.iter().all(|key| *key == made[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&path, "not a key").unwrap();
        let refused = load_or_make(&path).err().unwrap();
        assert!(refused.message.contains("is not an Ed25519 key") && !refused.message.contains("not a key"));
    }
}
