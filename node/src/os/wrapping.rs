//! Wrapping of a node's own key on disk, by something that is not on that disk: a file elsewhere, the environment, or a
//! program that asks a key management service. Used where `node.key` is read and written; nothing here logs a key, nor
//! what a program says.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::secret::Sealed;
use runtime::{Files, seal};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::entropy::OsEntropy;
use super::files::OsFiles;

/// The file that is wrapped.
const KEY_FILE: &str = "node.key";
/// What a wrapped file begins with.
const MARK: &str = "llmhub-wrapped 1 ";
/// What wrapped keys are sealed for.
const CONTEXT: &str = "llmhub node key";
/// A wrapping key's text has at least so many bytes, so that it is drawn and not thought up.
const KEY_LEN_MIN: usize = 32;
const NONCE_LEN: usize = 12;
/// How long a program may take.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(15);
/// What a program may answer at most, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// What a node's key is wrapped by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrapping {
    /// The content of a file.
    File(PathBuf),
    /// The value of an environment variable.
    Env(String),
    /// A program with its arguments.
    Program(Vec<String>),
}

impl FromStr for Wrapping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write file:/PATH, env:NAME or command:/PATH [ARGUMENTS]".to_owned();
        let (kind, rest) = text.trim().split_once(':').ok_or_else(wrong)?;
        match kind {
            "file" if rest.starts_with('/') => Ok(Self::File(PathBuf::from(rest))),
            "env" if !rest.is_empty() => Ok(Self::Env(rest.to_owned())),
            "command" if rest.starts_with('/') => {
                Ok(Self::Program(rest.split_whitespace().map(str::to_owned).collect()))
            }
            _ => Err(wrong()),
        }
    }
}

impl std::fmt::Display for Wrapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
            // Its arguments may be nobody's business.
            Self::Program(words) => write!(f, "command:{}", words.first().map_or("", String::as_str)),
        }
    }
}

impl Wrapping {
    fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Env(_) => "env",
            Self::Program(_) => "command",
        }
    }

    /// Wraps what a file is to hold.
    ///
    /// # Errors
    /// What is wrong with the wrapping, and what to do.
    pub(crate) async fn wrap(&self, clear: &[u8]) -> Result<Vec<u8>, String> {
        let wrapped = match self {
            Self::Program(words) => run(words, "wrap", clear).await?.to_vec(),
            Self::File(_) | Self::Env(_) => {
                let sealed = seal::seal(&self.key()?, CONTEXT, clear, &OsEntropy::default());
                let sealed = sealed.map_err(|e| e.to_string())?;
                [sealed.nonce, sealed.bytes].concat()
            }
        };
        Ok(format!("{MARK}{} {}\n", self.kind(), STANDARD.encode(wrapped)).into_bytes())
    }

    /// Opens what [`Wrapping::wrap`] gave.
    ///
    /// # Errors
    /// That it does not open, and what to do.
    pub(crate) async fn unwrap(&self, wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>, String> {
        if wrapped.kind != self.kind() {
            return Err(format!("it is wrapped by another means (`{}:`)", wrapped.kind));
        }
        if let Self::Program(words) = self {
            return run(words, "unwrap", &wrapped.bytes).await;
        }
        let (nonce, bytes) = wrapped.bytes.split_at_checked(NONCE_LEN).ok_or("it is cut short")?;
        let sealed = Sealed { nonce: nonce.to_vec(), bytes: bytes.to_vec(), key: None };
        seal::open(&self.key()?, CONTEXT, &sealed).map_err(|_| "it was wrapped with another key".to_owned())
    }

    fn key(&self) -> Result<seal::Key, String> {
        let text = match self {
            Self::File(path) => read_private(path)?,
            Self::Env(name) => {
                std::env::var(name).map(|text| Zeroizing::new(text.into_bytes())).map_err(|_| {
                    format!("the environment variable {name} is not set: set it to the wrapping key")
                })?
            }
            Self::Program(_) => return Err("a program has no key of its own".to_owned()),
        };
        let text = text.trim_ascii();
        if text.len() < KEY_LEN_MIN {
            return Err(format!(
                "a wrapping key has {KEY_LEN_MIN} characters at least: make one with `openssl rand -hex 32`"
            ));
        }
        let digest = Sha256::new().chain_update(b"llmhub wrapping key").chain_update(text).finalize();
        Ok(Zeroizing::new(digest.into()))
    }
}

/// Reads a file that nobody but its owner may read.
fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let unreadable = |e: io::Error| format!("{} cannot be read: {e}", path.display());
    let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("{} can be read by others: `chmod 600` it", path.display()));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(unreadable)
}

/// Runs a program with one more argument, gives it bytes on its standard input and takes its standard output, both in base64.
/// What it says on standard error goes nowhere.
async fn run(words: &[String], verb: &str, input: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    let (program, arguments) = words.split_first().ok_or("no program is named")?;
    let mut child = Command::new(program)
        .args(arguments)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("{program} cannot be started: {e}"))?;
    let talk = talk(&mut child, Zeroizing::new(STANDARD.encode(input)));
    let (status, output) = tokio::time::timeout(PROGRAM_TIMEOUT, talk)
        .await
        .map_err(|_| format!("{program} {verb} did not end within {} s", PROGRAM_TIMEOUT.as_secs()))?
        .map_err(|e| format!("{program} {verb} cannot be talked to: {e}"))?;
    if !status.success() {
        return Err(format!("{program} {verb} failed ({status}): run it by hand to see why"));
    }
    let clear = STANDARD.decode(output.trim_ascii()).map(Zeroizing::new);
    clear.ok().filter(|clear| !clear.is_empty()).ok_or_else(|| format!("{program} {verb} gave no base64"))
}

async fn talk(
    child: &mut Child,
    input: Zeroizing<String>,
) -> io::Result<(std::process::ExitStatus, Zeroizing<Vec<u8>>)> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // One that does not read all of it says so with its status.
            let _ = stdin.write_all(input.as_bytes()).await;
            let _ = stdin.write_all(b"\n").await;
        }
    };
    let read = async {
        let mut output = Zeroizing::new(Vec::new());
        if let Some(stdout) = stdout {
            stdout.take(ANSWER_BYTES_MAX).read_to_end(&mut output).await?;
        }
        Ok::<_, io::Error>(output)
    };
    let ((), output) = tokio::join!(write, read);
    Ok((child.wait().await?, output?))
}

/// A wrapped file's content.
pub(crate) struct Wrapped {
    kind: String,
    bytes: Vec<u8>,
}

impl Wrapped {
    /// What this content says, if it is a wrapped file's.
    fn parse(content: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(content).ok()?.strip_prefix(MARK)?;
        let (kind, bytes) = text.trim_end().split_once(' ')?;
        Some(Self { kind: kind.to_owned(), bytes: STANDARD.decode(bytes).ok()? })
    }
}

/// A data directory's small files, of which the node's key is wrapped.
pub(crate) struct Guarded {
    files: OsFiles,
    by: Option<Wrapping>,
}

impl Guarded {
    /// The files of a directory; `by` is what the key is wrapped by, if by anything.
    pub(crate) fn new(files: OsFiles, by: Option<Wrapping>) -> Self {
        Self { files, by }
    }

    /// Brings the key on disk under the present wrapping: from none, or from the former one.
    ///
    /// # Errors
    /// What is wrong and what to do; the file is then as it was.
    pub(crate) async fn rewrap(&self, former: Option<&Wrapping>) -> Result<(), String> {
        let bad = |e: io::Error| format!("{KEY_FILE} cannot be used: {e}");
        let Some(content) = self.files.read(KEY_FILE).await.map_err(bad)? else { return Ok(()) };
        let clear = match Wrapped::parse(&content) {
            None if self.by.is_none() => return Ok(()),
            None => Zeroizing::new(content.to_vec()),
            Some(wrapped) => {
                let Err(reason) = self.open(&wrapped).await else { return Ok(()) };
                let Some(former) = former else { return Err(self.shut(&reason)) };
                former.unwrap(&wrapped).await.map_err(|also| {
                    format!("{}; nor with the former wrapping {former}: {also}", self.shut(&reason))
                })?
            }
        };
        self.write(KEY_FILE, &clear).await.map_err(bad)?;
        tracing::warn!("the node's key on disk has another wrapping now: keep what opens it");
        Ok(())
    }

    async fn open(&self, wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>, String> {
        match &self.by {
            Some(by) => by.unwrap(wrapped).await,
            None => Err("nothing is named to open it with".to_owned()),
        }
    }

    fn shut(&self, reason: &str) -> String {
        let by = self.by.as_ref().map_or_else(|| "as it is".to_owned(), |by| format!("with {by}"));
        format!(
            "the node's key does not open {by}: {reason}; give what it was wrapped by with --key-wrap, or, to change that, \
             the former one with --key-wrap-old"
        )
    }
}

#[async_trait]
impl Files for Guarded {
    async fn read(&self, name: &str) -> io::Result<Option<Bytes>> {
        let content = self.files.read(name).await?;
        let Some(wrapped) = content.as_deref().filter(|_| name == KEY_FILE).and_then(Wrapped::parse) else {
            return Ok(content);
        };
        let clear = self.open(&wrapped).await.map_err(|reason| io::Error::other(self.shut(&reason)))?;
        Ok(Some(Bytes::copy_from_slice(&clear)))
    }

    async fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        match &self.by {
            Some(by) if name == KEY_FILE => {
                let wrapped = by.wrap(content).await.map_err(|reason| {
                    io::Error::other(format!("the node's key cannot be wrapped with {by}: {reason}"))
                })?;
                self.files.write(name, &wrapped).await
            }
            _ => self.files.write(name, content).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const CLEAR: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn private(folder: &Path, name: &str, content: &str, mode: u32) -> Wrapping {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        format!("file:{}", path.display()).parse().unwrap()
    }

    fn program(folder: &Path, name: &str, script: &str) -> Wrapping {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        format!("command:{} --key 7", path.display()).parse().unwrap()
    }

    fn guarded(folder: &Path, by: Option<&Wrapping>) -> Guarded {
        Guarded::new(OsFiles::new(folder), by.cloned())
    }

    fn on_disk(folder: &Path) -> Vec<u8> {
        fs::read(folder.join(KEY_FILE)).unwrap()
    }

    #[test]
    fn a_wrapping_is_named_by_its_kind_and_shows_no_arguments() {
        assert_eq!("env:K".parse::<Wrapping>().unwrap(), Wrapping::Env("K".to_owned()));
        let command: Wrapping = "command:/bin/kms --token x".parse().unwrap();
        assert_eq!(command.to_string(), "command:/bin/kms");
        for wrong in ["", "file", "file:relative", "env:", "command:kms", "kms:/x"] {
            assert!(wrong.parse::<Wrapping>().unwrap_err().contains("file:/PATH"), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_key_is_wrapped_on_disk_and_opens_with_the_same_wrapping_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let reverse = "read x; test \"$1 $2\" = \"--key 7\" || exit 3; echo \"$x\"";
        let one = private(at, "one", &"a".repeat(32), 0o600);
        for by in [&one, &program(at, "kms", reverse)] {
            guarded(at, Some(by)).write(KEY_FILE, CLEAR).await.unwrap();
            let read = guarded(at, Some(by)).read(KEY_FILE).await.unwrap().unwrap();
            assert_eq!(read, CLEAR, "{by}");
            let error = guarded(at, None).read(KEY_FILE).await.unwrap_err().to_string();
            assert!(error.contains("--key-wrap"), "{error}");
        }
        guarded(at, Some(&one)).write(KEY_FILE, CLEAR).await.unwrap();
        assert!(!on_disk(at).windows(16).any(|part| part == &CLEAR[..16]));
        let other = private(at, "two", &"b".repeat(32), 0o600);
        let error = guarded(at, Some(&other)).read(KEY_FILE).await.unwrap_err().to_string();
        assert!(error.contains("another key") && error.contains("--key-wrap-old"), "{error}");
        guarded(at, Some(&one)).write("node.json", b"{}").await.unwrap();
        assert_eq!(fs::read(at.join("node.json")).unwrap(), b"{}", "nothing else is wrapped");
    }

    #[tokio::test]
    async fn a_wrapping_is_changed_from_none_to_one_to_another_to_none() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let (one, two) =
            (private(at, "one", &"a".repeat(32), 0o600), private(at, "two", &"b".repeat(32), 0o600));
        fs::write(at.join(KEY_FILE), CLEAR).unwrap();
        guarded(at, Some(&one)).rewrap(None).await.unwrap();
        let before = on_disk(at);
        assert_ne!(before, CLEAR);
        assert!(guarded(at, Some(&two)).rewrap(None).await.is_err());
        assert_eq!(on_disk(at), before, "a refusal changes nothing");
        guarded(at, Some(&two)).rewrap(Some(&one)).await.unwrap();
        guarded(at, Some(&two)).rewrap(Some(&one)).await.unwrap();
        assert_eq!(guarded(at, Some(&two)).read(KEY_FILE).await.unwrap().unwrap(), CLEAR);
        guarded(at, None).rewrap(Some(&two)).await.unwrap();
        assert_eq!(on_disk(at), CLEAR);
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_wrapping_is_told_without_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for (by, told) in [
            (private(at, "open", &"a".repeat(32), 0o644), "chmod 600"),
            (private(at, "short", "hunter2", 0o600), "openssl rand"),
            (program(at, "fails", "echo hush-hush >&2; echo hush-hush; exit 9"), "exit status: 9"),
            (program(at, "babbles", "cat >/dev/null; echo 'hush-hush !'"), "no base64"),
            ("env:LLMHUB_NO_SUCH_VARIABLE".parse().unwrap(), "is not set"),
            ("file:/nowhere/key".parse().unwrap(), "/nowhere/key"),
            ("command:/nowhere/kms".parse().unwrap(), "cannot be started"),
        ] {
            let error = guarded(at, Some(&by)).write(KEY_FILE, CLEAR).await.unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("hush"), "{by}: {error}");
        }
        assert!(!at.join(KEY_FILE).exists());
    }
}
