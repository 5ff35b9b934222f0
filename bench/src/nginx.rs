//! nginx as the proxy to compare with: one worker, kept-alive connections to the upstream, no buffering, no access log.
//!
//! It runs from a configuration of its own in the run's folder and touches none of the system's. It never listens beyond loopback.

use crate::child::{Child, POLL_PAUSE, READY_DEADLINE, find_program, free_ports};
use crate::control;
use anyhow::{Context, bail};
use http::Method;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// What to do where it is missing.
pub const MISSING: &str = "nginx is missing: install it (Debian: apt-get install nginx-light), name it with --nginx PATH, \
                           or leave it out with --without nginx";

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Nginx {
    /// Starts it in `folder` before `upstream` and waits until it passes requests on.
    pub async fn start(program: &Path, folder: &Path, upstream: SocketAddr) -> anyhow::Result<Nginx> {
        fs::create_dir_all(folder)?;
        let [address] = free_ports::<1>()?;
        let file = folder.join("nginx.conf");
        fs::write(&file, config(folder, address, upstream))
            .with_context(|| format!("write {}", file.display()))?;
        let mut command = Command::new(program);
        command.arg("-p").arg(folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(&file);
        let mut child = Child::start("nginx", &mut command, &folder.join("nginx.out"))?;
        wait_healthy(&mut child, address).await?;
        Ok(Nginx { child, address })
    }

    /// The process id of its master, the parent of its worker.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }
}

/// Waits until `GET /health` answers 200.
pub async fn wait_healthy(child: &mut Child, address: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_DEADLINE;
    loop {
        child.ensure_alive()?;
        let answer = control::request(address, Method::GET, "/health", None, None).await;
        match answer {
            Ok(answer) if answer.status.is_success() => return Ok(()),
            other if Instant::now() > deadline => bail!("{address} is not healthy in time: {other:?}"),
            _ => tokio::time::sleep(POLL_PAUSE).await,
        }
    }
}

/// Finds the program, by default on PATH.
pub fn program(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    find_program(given.unwrap_or(Path::new("nginx"))).context(MISSING)
}

/// Its version as it tells it, for the report.
pub fn version(program: &Path) -> String {
    let output = Command::new(program).arg("-v").output().map(|o| o.stderr).unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    text.trim().strip_prefix("nginx version: ").unwrap_or("unknown").to_owned()
}

/// Limits are set so high that nothing is closed or written to disk during a run.
fn config(folder: &Path, listen: SocketAddr, upstream: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_processes 1;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    client_body_buffer_size 1m;
    client_max_body_size 16m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream mock {{
        server {upstream};
        keepalive 512;
        keepalive_requests 1000000000;
        keepalive_timeout 300s;
    }}
    server {{
        listen {listen} backlog=4096;
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_read_timeout 300s;
        }}
    }}
}}
"
    )
}
