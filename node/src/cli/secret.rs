//! Secrets on the command line: as they are, `@file`, or `-` for standard input, so that none needs to show in a list of
//! processes. Variables of the environment are the arguments' own business.

use std::io::Read;

/// The longest secret, in bytes: more is surely the wrong file.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Reads a secret as it was given with `option`.
///
/// # Errors
/// What to do.
pub(crate) fn read(given: &str, option: &str) -> Result<String, String> {
    let secret = match given.strip_prefix('@') {
        Some(path) => std::fs::File::open(path)
            .and_then(text)
            .map_err(|e| format!("the file {path} of {option} cannot be read: {e}"))?,
        None if given == "-" => {
            text(std::io::stdin()).map_err(|e| format!("{option} cannot be read from standard input: {e}"))?
        }
        None => given.to_owned(),
    };
    let secret = secret.trim();
    if secret.is_empty() {
        return Err(format!("{option} is empty: give it as it is, as @file, or as - for standard input"));
    }
    Ok(secret.to_owned())
}

fn text(from: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(SECRET_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_taken_as_it_is_or_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "sk-secret\n").unwrap();
        let given = format!("@{}", path.display());
        assert_eq!(read("sk-plain", "--key").unwrap(), "sk-plain");
        assert_eq!(read(&given, "--key").unwrap(), "sk-secret");
        let error = read("@/nowhere/key", "--api-key").unwrap_err();
        assert!(error.starts_with("the file /nowhere/key of --api-key cannot be read"), "{error}");
        assert!(read("", "--key").is_err());
    }
}
