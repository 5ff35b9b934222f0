//! A program that a run starts and stops again. Used for the mock upstream, nginx and the nodes.
//!
//! Its output goes to a file; it dies with us even when we are killed; dropping it stops it: SIGTERM, then SIGKILL to its
//! process group. It never signals a process that it did not start.

use anyhow::{Context, bail};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to end after SIGTERM.
pub const GRACE: Duration = Duration::from_secs(10);
/// How long a program may take to get ready.
pub const READY_DEADLINE: Duration = Duration::from_secs(60);
/// The pause between two looks at something that is waited for.
pub const POLL_PAUSE: Duration = Duration::from_millis(50);
const LOG_LINES_SHOWN: usize = 15;

/// A running child.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts the command with its output in the file `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> anyhow::Result<Child> {
        let out = File::create(log).with_context(|| format!("create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).process_group(0);
        // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and touches no memory of ours.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let program = command.get_program().to_string_lossy().into_owned();
        let process = command.spawn().with_context(|| format!("start {name} ({program})"))?;
        Ok(Child { name: name.to_owned(), process, log: log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The file that holds what it printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Fails, with the end of its output, where it ended by itself.
    pub fn ensure_alive(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.process.try_wait()? else { return Ok(()) };
        bail!("{} ended by itself ({status}); it printed:\n{}", self.name, self.last_words())
    }

    /// The end of its output, without lines that may hold a key or a token.
    pub fn last_words(&self) -> String {
        last_lines(&String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()))
    }

    /// Asks it to end, without waiting; dropping it then waits.
    pub fn ask_to_end(&self) {
        // SAFETY: the child is ours and not yet waited for, so its id cannot belong to anybody else.
        unsafe { libc::kill(self.process.id().cast_signed(), libc::SIGTERM) };
    }

    /// Ends it, in order or by force, and waits until it has ended.
    pub fn stop(&mut self, kill: bool) -> anyhow::Result<()> {
        if kill && self.process.try_wait()?.is_none() {
            self.process.kill()?;
        }
        self.end().with_context(|| format!("stop {}", self.name))
    }

    fn end(&mut self) -> std::io::Result<()> {
        if self.process.try_wait()?.is_some() {
            return Ok(());
        }
        self.ask_to_end();
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if self.process.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // SAFETY: as above; the group was made for this child at its start.
        unsafe { libc::killpg(self.process.id().cast_signed(), libc::SIGKILL) };
        self.process.wait().map(drop)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("could not stop {} (process {}): {error}", self.name, self.process.id());
        }
    }
}

fn last_lines(output: &str) -> String {
    let secret =
        |line: &str| ["sk-", "key", "token"].iter().any(|word| line.to_ascii_lowercase().contains(word));
    let shown: Vec<&str> = output.lines().filter(|line| !secret(line)).collect();
    shown[shown.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

/// Ports of 127.0.0.1 that are free for TCP and UDP at this moment. All are held while they are picked, so they differ.
pub fn free_ports<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    const TRIES: usize = 100;
    let mut held = Vec::new();
    for _ in 0..TRIES {
        if held.len() == N {
            break;
        }
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr()?) {
            held.push((tcp, udp));
        }
    }
    let found: Result<Vec<_>, _> = held.iter().map(|(tcp, _)| tcp.local_addr()).collect();
    found?
        .try_into()
        .map_err(|_| anyhow::anyhow!("found no {N} free ports on 127.0.0.1: end what listens there"))
}

/// The program of that name: as given where it has a folder in it, else looked up in PATH and the folders for
/// administrators, which a plain user's PATH lacks.
pub fn find_program(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return name.is_file().then(|| name.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_a_child_ends_it_and_its_output_is_kept() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("out");
        let mut child =
            Child::start("a shell", Command::new("sh").args(["-c", "echo ready; exec sleep 600"]), &log)?;
        while fs::read_to_string(&log)? != "ready\n" {
            child.ensure_alive()?;
        }
        let pid = child.pid();
        drop(child);
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} still there");
        Ok(())
    }

    #[test]
    fn a_child_that_ends_by_itself_is_told_with_its_last_words() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let shell = &mut Command::new("sh");
        let mut child = Child::start(
            "a shell",
            shell.args(["-c", "echo no such flag; exit 3"]),
            &folder.path().join("o"),
        )?;
        let error = loop {
            if let Err(error) = child.ensure_alive() {
                break error.to_string();
            }
        };
        assert!(error.contains("exit status: 3") && error.contains("no such flag"), "{error}");
        Ok(())
    }

    #[test]
    fn last_words_hold_no_secrets() {
        assert_eq!(last_lines("one\nadmin key: sk-123\ntwo\nToken: x\n"), "one\ntwo");
    }

    #[test]
    fn free_ports_differ() -> anyhow::Result<()> {
        let [a, b, c] = free_ports::<3>()?;
        assert!(a != b && b != c && a != c);
        Ok(())
    }
}
