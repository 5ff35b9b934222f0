//! RocksDB's errors in our words. It tells little more than a text, so the text decides.

use std::path::Path;

use consensus::disk::Error;
use rocksdb::ErrorKind;

/// What an error of RocksDB means.
pub(crate) fn fault(error: &rocksdb::Error) -> Error {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Corruption => Error::Corrupt(text),
        ErrorKind::ShutdownInProgress => Error::Closed,
        _ => classify(text),
    }
}

/// What an error while opening a directory means. RocksDB names the file, but for logs and the file that names the manifest;
/// the logs are those that were there.
pub(crate) fn opening(path: &Path, logs: &[String], error: &rocksdb::Error) -> Error {
    let named = |text: String| {
        if text.contains(&*path.to_string_lossy()) {
            text
        } else if text.contains("CURRENT") {
            format!("{}: {text}", path.display())
        } else {
            format!("{}, in its log {}: {text}", path.display(), logs.join(" or "))
        }
    };
    match fault(error) {
        Error::Corrupt(text) => Error::Corrupt(named(text)),
        // The folder was made just now: what is missing is a file of the data.
        Error::Io(text) if text.contains("No such file") => Error::Corrupt(named(text)),
        other => other,
    }
}

/// What an error of the operating system means.
pub(crate) fn io(path: &Path, error: &std::io::Error) -> Error {
    classify(format!("{}: {error}", path.display()))
}

fn classify(text: String) -> Error {
    let lower = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["no space left", "quota exceeded", "space limit", "max allowed space"]) {
        Error::Full(text)
    } else if says(&["lock hold by", "lock file", "while lock"]) {
        Error::Locked(text)
    } else {
        Error::Io(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operating_system_said_decides_the_class() {
        let of = |text: &str| classify(text.to_owned());
        assert!(matches!(
            of("IO error: No space left on device: While appending to file: /x/1.log"),
            Error::Full(_)
        ));
        assert!(matches!(
            of("IO error: While lock file: /x/LOCK: Resource temporarily unavailable"),
            Error::Locked(_)
        ));
        assert!(matches!(of("IO error: lock hold by current process, acquire time 1"), Error::Locked(_)));
        assert!(matches!(of("IO error: Permission denied"), Error::Io(_)));
    }
}
