//! A server as a process of ours: started, killed and stopped, always by its own id.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout};

/// What a node prints when it is ready.
const READY: &str = "QuickPe is listening on ";
/// How long a node may take to open its store.
const START_PATIENCE: Duration = Duration::from_mins(2);
/// How long a command may take that talks to a running node.
const RUN_PATIENCE: Duration = Duration::from_secs(30);
/// How long a node may take to stop: its own drain and some.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// Where it listens, as it said.
    pub(crate) url: String,
    /// How long it took to say so.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// Starts `command` with a shell that becomes it, and waits until it is ready.
    pub(crate) async fn start(command: &str) -> anyhow::Result<Self> {
        let started = Instant::now();
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("exec {command}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start: {command}"))?;
        let stdout = child.stdout.take().context("the server has no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let url = match timeout(START_PATIENCE, ready(&mut lines)).await {
            Ok(Ok(url)) => url,
            Ok(Err(error)) => {
                let status = child.wait().await?;
                bail!("the server ended before it was ready, with {status}: {error}");
            }
            Err(_) => bail!("the server was not ready in {START_PATIENCE:?}"),
        };
        // Read on, so that the pipe never fills.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, url, ready_after: started.elapsed() })
    }

    /// The process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it as a power cut would: SIGKILL.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server had ended by itself, with {status}");
        }
        self.child.kill().await.context("cannot kill the server")
    }

    /// Asks it to end, with SIGTERM, and waits for exit code 0.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        if let Some(status) = self.child.try_wait()? {
            bail!("the server had ended by itself, with {status}");
        }
        let pid = self.pid().context("the server has no process id")?;
        let asked = Command::new("sh").arg("-c").arg(format!("kill -TERM {pid}")).status().await?;
        ensure!(asked.success(), "cannot signal process {pid}");
        let status = timeout(STOP_PATIENCE, self.child.wait()).await;
        let status = status.with_context(|| format!("the server did not stop in {STOP_PATIENCE:?}"))??;
        ensure!(status.success(), "the server stopped with {status}");
        Ok(started.elapsed())
    }
}

/// Runs `command` with a shell, with these arguments behind it, to its good end.
pub(crate) async fn run(command: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec {command} \"$@\"")).arg("sh").args(arguments);
    // Its words are not the report's.
    shell.stdin(Stdio::null()).stdout(Stdio::null());
    let status = timeout(RUN_PATIENCE, shell.kill_on_drop(true).status()).await;
    let status = status.with_context(|| format!("not done in {RUN_PATIENCE:?}: {command}"))??;
    ensure!(status.success(), "{command} {} ended with {status}", arguments.join(" "));
    Ok(())
}

async fn ready(lines: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<String> {
    while let Some(line) = lines.next_line().await? {
        if let Some(url) = line.trim().strip_prefix(READY) {
            return Ok(url.to_owned());
        }
    }
    bail!("its output ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_is_started_and_stopped_by_its_id() {
        let command = r#"sh -c 'trap "exit 0" TERM; echo QuickPe is listening on http://127.0.0.1:1; while :; do sleep 0.02; done'"#;
        let server = Server::start(command).await.unwrap();
        assert_eq!(server.url, "http://127.0.0.1:1");
        server.stop().await.unwrap();
        let server = Server::start(command).await.unwrap();
        server.kill().await.unwrap();
    }

    #[tokio::test]
    async fn a_command_is_run_with_its_arguments() {
        run("test a =", &["a"]).await.unwrap();
        let error = run("test a =", &["b c"]).await.unwrap_err();
        assert!(error.to_string().contains("exit status: 1"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_ends_early_is_an_error() {
        let error = Server::start("sh -c 'echo hello; exit 3'").await.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }
}
